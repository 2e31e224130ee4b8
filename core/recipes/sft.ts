/**
 * Supervised fine-tuning: prompt, rationale, image start, image codes and end in one sequence, next-token loss on everything
 * after the prompt (ReasonGen-R1 §3; reference code `img_rl_fsdp_sft_trainer.py`).
 *
 * On purpose different from the published code:
 * 1. The image start is a target like any text token: the model learns to end its rationale.
 * 2. Prompt dropout drops prompt and rationale into the very layout that guidance uses for its unconditional branch.
 * 3. Gradients are averaged over the targets of the whole batch, however it is cut into micro-batches.
 * 4. No padding: sequences are packed.
 */
import type { Plan, PlanContext, Recipe, RunContext, Smaller } from '../contracts/recipe.ts';
import type { Example } from '../contracts/dataset.ts';
import { largestSize, packedShape, type PackedShape } from '../nn/packed-shape.ts';
import { packSequences, type PackedBatch, type Sequence } from '../nn/packing.ts';
import { TokenPrograms, eachKind, type Objective, type TokenKind, type TokenProgram } from '../nn/token-program.ts';
import { defineRecipe, z } from '../plugin.ts';
import { ExampleStream, examplesAtOnce } from './examples.ts';
import { guardOptions } from './guards.ts';
import { changesOf, Ledger, planningRun, smallerValues } from './ledger.ts';
import { describeModel, planEncoding } from './plan-drawing.ts';
import { Training } from './training.ts';
import { trainingOptions } from './training-options.ts';

const options = z.strictObject({
  steps: z.number().int().positive().describe('optimizer updates'),
  batch: z.number().int().positive().default(32).describe('sequences per update'),
  microBatch: z.number().int().positive().optional().describe('sequences per forward and backward pass; the batch by default'),
  examples: z.number().int().positive().default(24000).describe('distinct examples before the stream starts over'),
  rationale: z.boolean().default(true).describe('write a rationale before the picture; false trains prompt to picture'),
  promptDropout: z.number().min(0).max(1).default(0.1).describe('share of sequences trained as the unconditional branch'),
  textWeight: z.number().nonnegative().default(2).describe('loss weight of text targets, the image start and the end among them'),
  imageWeight: z.number().nonnegative().default(1).describe('loss weight of image codes'),
  guards: guardOptions,
  ...trainingOptions,
});

type SftOptions = z.output<typeof options>;

export const sft = defineRecipe({
  name: 'sft',
  summary: 'supervised fine-tuning on prompt, rationale and picture in one sequence',
  options,
  needs: ['tokenizer', 'imageTokenizer', 'backbone', 'dataset', 'optimizer'],
  create: (choice): Recipe => ({
    plan: (context) => planSft(context, choice),
    smaller: smallerSft(choice),
    run: (context) => runSft(context, choice),
  }),
});

async function planSft(context: PlanContext, choice: SftOptions): Promise<Plan> {
  const ledger = new Ledger(context);
  const run = planningRun(context);
  const training = await Training.build(run, context.backbone.parameters, choice);
  ledger.note('weights, gradients, optimizer');
  const stream = openStream(run, choice);
  const { shape } = await openPrograms(run, training, stream, choice);
  ledger.note('forward and backward');
  await planEncoding(run, Math.min(examplesAtOnce, choice.examples));
  ledger.note('image tokenizer');
  const micro = choice.microBatch ?? choice.batch;
  return ledger.plan([
    describeModel(context.backbone),
    `${choice.steps} steps x ${choice.batch} sequences = ${choice.steps * choice.batch} sequences, ${((choice.steps * choice.batch) / choice.examples).toFixed(2)} visits of ${choice.examples} examples`,
    `${Math.ceil(choice.batch / micro)} micro-batch(es) of at most ${micro} sequences per update, about ${shape.count} tokens at most, ${shape.imageCodes.length} of them image codes`,
  ]);
}

/** Smaller micro-batches change gradients by rounding only, and cost little until they are very small; computing again changes no bit and costs a third of the time. */
function smallerSft(choice: SftOptions): Smaller[] {
  const sizes = smallerValues(choice.microBatch ?? choice.batch);
  const micro = (values: readonly number[], recompute: boolean): SftOptions[] => values.map((microBatch) => ({ ...choice, microBatch, recompute }));
  const again = choice.recompute ? [] : [{ ...choice, recompute: true }];
  return [...micro(sizes.slice(0, 2), choice.recompute), ...again, ...micro(sizes, true)].map((smaller) => ({
    change: changesOf(choice, smaller, ['recompute', 'microBatch']),
    plan: (context) => planSft(context, smaller),
  }));
}

function openStream({ dataset, tokenizer, imageTokenizer, seed }: RunContext, choice: SftOptions): ExampleStream {
  return new ExampleStream(dataset, tokenizer, imageTokenizer, { ...choice, seed });
}

/** Examples looked at to find out how long sequences are. */
const looked = 256;

/** The programs of the run, the one for the largest micro-batch made already: memory does not grow later. */
async function openPrograms({ device, backbone }: RunContext, training: Training, stream: ExampleStream, choice: SftOptions): Promise<{ programs: TokenPrograms; shape: PackedShape }> {
  const one = device.scalar('temperature', 1);
  const programs = new TokenPrograms({
    name: 'sft',
    workspace: training.workspace,
    backbone,
    parameters: training.learning,
    temperature: { text: one, image: one },
    objective: seededObjective(),
    recompute: choice.recompute,
  });
  const shape = packedShape(largestSize(stream.sizes(Math.min(looked, choice.examples)), Math.min(choice.microBatch ?? choice.batch, choice.batch)));
  await programs.reserve(shape);
  return { programs, shape };
}

async function runSft(context: RunContext, choice: SftOptions): Promise<void> {
  const { backbone, device, directory, hooks, log, stop } = context;
  const { training, state } = await Training.open(context, backbone.parameters, choice);
  const stream = openStream(context, choice);
  const { programs } = await openPrograms(context, training, stream, choice);
  const first = (state?.step ?? 0) + 1;
  const progress = log.progress('SFT', choice.steps, { done: first - 1 });
  for (let step = first; step <= choice.steps; step++) {
    const started = performance.now();
    const from = (step - 1) * choice.batch;
    const event = await hooks.batch({ step, items: stream.examples(from, choice.batch) });
    const sequences = await stream.sequences(from, event.items as readonly Example[]);
    const totals = await accumulate(context, training, programs, sequences, choice, step);
    training.applyUpdate(step);
    const [norm = 0, wasApplied = 0] = await device.readFloats(training.report);
    await training.checkUpdate(step, norm, wasApplied);
    const seconds = (performance.now() - started) / 1000;
    const metrics = { ...totals.metrics, gradientNorm: norm, learningRate: training.learningRate(step), tokensPerSecond: totals.tokens / seconds, seconds };
    directory.metrics.append({ step, ...metrics });
    await hooks.step({ step, metrics });
    progress.advance(1, `loss ${totals.metrics.loss.toFixed(3)}`);
    if (step % choice.saveEvery === 0 || step === choice.steps || stop.requested) await training.save({ step }, metrics);
    if (stop.requested) break;
  }
  progress.end();
  await programs.close();
  await training.close();
}

interface Totals {
  readonly metrics: Readonly<Record<'loss' | 'text/crossEntropy' | 'image/crossEntropy' | 'text/entropy' | 'image/entropy', number>>;
  readonly tokens: number;
}

/** Adds the gradients of a batch, micro-batch by micro-batch, every target weighted by 1 / (targets of the whole batch). */
async function accumulate(context: RunContext, training: Training, programs: TokenPrograms, sequences: readonly Sequence[], choice: SftOptions, step: number): Promise<Totals> {
  const micro = choice.microBatch ?? choice.batch;
  const batches: PackedBatch[] = [];
  for (let start = 0; start < sequences.length; start += micro) batches.push(packSequences(sequences.slice(start, start + micro)));
  const targets = batches.reduce((sum, batch) => sum + batch.text.used + batch.image.used, 0);
  const weight = { text: choice.textWeight / targets, image: choice.imageWeight / targets };
  const sums = { text: { crossEntropy: 0, entropy: 0, count: 0 }, image: { crossEntropy: 0, entropy: 0, count: 0 } };
  for (const [index, batch] of batches.entries()) {
    const program = await programs.prepare(batch);
    training.prepareDropout((step - 1) * batches.length + index);
    for (const kind of ['text', 'image'] as const) fillSeeds(context, program, kind, batch[kind].used, weight[kind]);
    program.program.run();
    for (const kind of ['text', 'image'] as const) {
      const tensor = program.scored[kind];
      if (tensor === undefined) continue;
      const values = await context.device.readFloats(tensor);
      for (let i = 0; i < batch[kind].used; i++) {
        sums[kind].crossEntropy -= values[2 * i] ?? 0;
        sums[kind].entropy += values[2 * i + 1] ?? 0;
      }
      sums[kind].count += batch[kind].used;
    }
  }
  const mean = (kind: TokenKind, name: 'crossEntropy' | 'entropy'): number => sums[kind][name] / Math.max(1, sums[kind].count);
  return {
    tokens: batches.reduce((sum, batch) => sum + batch.usedTokens, 0),
    metrics: {
      loss: weight.text * sums.text.crossEntropy + weight.image * sums.image.crossEntropy,
      'text/crossEntropy': mean('text', 'crossEntropy'),
      'image/crossEntropy': mean('image', 'crossEntropy'),
      'text/entropy': mean('text', 'entropy'),
      'image/entropy': mean('image', 'entropy'),
    },
  };
}

/** The loss is linear in the log-probabilities, so its derivative is known before the pass: the host fills it in. */
function seededObjective(): Objective {
  return eachKind((tape, kind, scored) => {
    const dOut = tape.device.tensor(`sft ${kind} seeds`, scored.shape);
    return { dOut, inputs: { dOut }, outputs: {} };
  });
}

function fillSeeds(context: RunContext, program: TokenProgram, kind: TokenKind, used: number, weight: number): void {
  const dOut = program.objective[kind]?.inputs['dOut'];
  if (dOut === undefined) return;
  const values = new Float32Array((dOut.shape[0] ?? 0) * 2);
  for (let i = 0; i < used; i++) values[2 * i] = -weight;
  context.device.write(dOut, values);
}
