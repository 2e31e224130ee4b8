/**
 * Supervised fine-tuning: prompt, rationale, image start, image codes and end in one sequence, next-token loss on everything
 * after the prompt (ReasonGen-R1 §3; reference code `img_rl_fsdp_sft_trainer.py`).
 *
 * On purpose different from the published code:
 * 1. The image start is a target like any text token unless `imageStartWeight` says otherwise: the model learns to end its rationale.
 * 2. Prompt dropout drops prompt and rationale into the very layout that guidance uses for its unconditional branch.
 * 3. Gradients are averaged over the targets of the whole batch, however it is cut into micro-batches.
 * 4. No padding: sequences are packed.
 *
 * Over ranks every one knows the examples of a step and learns from its share of them; counts and sums are those of the whole batch.
 */
import type { Plan, PlanContext, Recipe, RunContext, Smaller } from '../../contracts/recipe.ts';
import type { PromptItem } from '../../contracts/dataset.ts';
import { largestSize, packedShape, type PackedShape } from '../../nn/packed-shape.ts';
import { defineRecipe } from '../../plugin.ts';
import { ExampleStream, examplesAtOnce } from './examples.ts';
import { changesOf, MemoryAccount, planningRun, smallerValues } from '../../models/memory-accounting.ts';
import { describeModel, planEncoding } from '../../drawing/plan.ts';
import { SftLoss } from './loss.ts';
import { refuseOtherPictures } from '../generated.ts';
import { sftMetrics, sftOptions, type SftOptions } from './options.ts';
import { SftValidation } from './validation.ts';
import { largestShare, refuseFewer, shareOf } from '../../ranks/shares.ts';
import { Training } from '../../training/training.ts';
import { adapterChange, keepingMore } from '../../training/options.ts';

export const sft = defineRecipe({
  name: 'sft',
  summary: 'supervised fine-tuning on prompt, rationale and picture in one sequence',
  options: sftOptions,
  needs: ['tokenizer', 'imageTokenizer', 'backbone', 'dataset', 'optimizer'],
  metrics: sftMetrics,
  create: (choice): Recipe => ({
    plan: (context) => planSft(context, choice),
    smaller: smallerSft(choice),
    takesRanks: true,
    run: (context) => runSft(context, choice),
  }),
});

async function planSft(context: PlanContext, choice: SftOptions): Promise<Plan> {
  refuseFewer(choice.batch, context.communicator, 'recipe.batch');
  refuseOtherPictures(context);
  const account = new MemoryAccount(context);
  const run = planningRun(context);
  const training = await Training.build(run, context.backbone.parameters, choice);
  account.note('weights, gradients, optimizer');
  const stream = await ExampleStream.open(run, choice);
  const { shape } = await openLoss(run, training, stream, choice);
  account.note('forward and backward');
  await planEncoding(run, Math.min(examplesAtOnce, choice.examples));
  account.note('image tokenizer');
  const micro = sequencesAtOnce(choice, context);
  const total = choice.steps * choice.batch;
  const visits =
    stream.distinct === undefined
      ? 'of the rows in files'
      : `${(total / stream.distinct).toFixed(2)} visits of ${stream.distinct} examples`;
  return account.plan([
    describeModel(context.backbone),
    `${choice.steps} steps x ${choice.batch} sequences = ${total} sequences, ${visits}`,
    `${Math.ceil(largestShare(choice.batch, context.communicator) / micro)} micro-batch(es) of at most ${micro} sequences per update, about ${shape.count} tokens at most, ${shape.imageCodes.length} of them image codes`,
  ]);
}

/**
 * Smaller micro-batches change gradients by rounding only, and cost little until they are very small; computing again changes no bit and costs up to a third of
 * the time, less where there is room to keep some.
 */
function smallerSft(choice: SftOptions): Smaller[] {
  const sizes = smallerValues(choice.microBatch ?? choice.batch);
  const micro = (values: readonly number[], recompute: SftOptions['recompute']): SftOptions[] =>
    values.map((microBatch) => ({ ...choice, microBatch, recompute }));
  const again = choice.recompute === true ? [] : [{ ...choice, recompute: true }];
  const adapters = adapterChange(choice);
  const mild = [...micro(sizes.slice(0, 2), choice.recompute), ...again, ...micro(sizes, true)];
  const drastic =
    adapters === undefined
      ? []
      : [
          { ...choice, ...adapters },
          { ...choice, recompute: true, microBatch: 1, ...adapters },
        ];
  const propose = (smaller: SftOptions, isDrastic: boolean): Smaller => ({
    change: changesOf(choice, smaller, ['lora', 'storage', 'recompute', 'microBatch']),
    isDrastic,
    plan: (context) => planSft(context, smaller),
    ...keepingMore(choice, smaller, (kept) => propose(kept, isDrastic)),
  });
  return [...mild.map((smaller) => propose(smaller, false)), ...drastic.map((smaller) => propose(smaller, true))];
}

/** Examples looked at to find out how long sequences are. */
const looked = 256;

/** Sequences of one forward and backward pass on a rank. */
function sequencesAtOnce(
  { batch, microBatch }: SftOptions,
  { communicator }: Pick<RunContext, 'communicator'>,
): number {
  const share = largestShare(batch, communicator);
  return Math.min(microBatch ?? share, share);
}

/** The loss with the programs of the largest micro-batch made already: memory does not grow later. */
async function openLoss(
  context: RunContext,
  training: Training,
  stream: ExampleStream,
  choice: SftOptions,
): Promise<{ loss: SftLoss; shape: PackedShape }> {
  const loss = await SftLoss.open(context, choice, training);
  const shape = packedShape(largestSize(stream.sizes(looked), sequencesAtOnce(choice, context)));
  await loss.reserve(shape);
  return { loss, shape };
}

async function runSft(context: RunContext, choice: SftOptions): Promise<void> {
  const { backbone, device, directory, hooks, log, stop } = context;
  const { training, state } = await Training.open(context, backbone.parameters, choice);
  const stream = await ExampleStream.open(context, choice);
  if (state !== undefined) stream.restore(state['data'] ?? { position: state.step * choice.batch });
  const { loss } = await openLoss(context, training, stream, choice);
  const validation = await SftValidation.open(context, choice, loss);
  const first = (state?.step ?? 0) + 1;
  const progress = log.progress('SFT', choice.steps, { done: first - 1 });
  let last: Record<string, number> = {};
  for (let step = first; step <= choice.steps; step++) {
    const started = performance.now();
    const data = stream.state;
    if (stop.requested) {
      // Before the first step there is nothing to save: the run starts over.
      if (step > 1) await training.save({ step: step - 1, data }, last);
      break;
    }
    const sequences = await training.orSave(nextSequences(context, choice, stream, step), step - 1, () =>
      training.save({ step: step - 1, data }, last),
    );
    const report = await loss.accumulate(sequences, step);
    await training.applyUpdate(step);
    const [norm = 0, wasApplied = 0] = await device.readFloats(training.report);
    await training.checkUpdate(step, norm, wasApplied, () => loss.findNonFinite(sequences, step));
    const seconds = (performance.now() - started) / 1000;
    const passedOver = Object.fromEntries(Object.entries(stream.counts).filter(([, count]) => count > 0));
    const metrics = {
      ...report.metrics,
      gradientNorm: norm,
      learningRate: training.learningRate(step),
      ...training.operands.take(step),
      ...passedOver,
      ...(await validation?.after(step)),
      tokensPerSecond: report.tokens / seconds,
      seconds,
    };
    last = metrics;
    directory.writeStep(step, metrics);
    await training.orSave(hooks.step({ step, metrics }), step, () =>
      training.save({ step, data: stream.state }, metrics),
    );
    progress.advance(1, `loss ${report.metrics.loss.toFixed(3)}`);
    const asked = await context.asked();
    if (step % choice.saveEvery === 0 || step === choice.steps || stop.requested || asked.save)
      await training.save({ step, data: stream.state }, metrics);
    if (stop.requested) break;
  }
  progress.end();
  stream.close();
  await loss.close();
  await training.close();
}

/** Those examples of a step that are this rank's, as extensions leave them, laid out for the model. */
async function nextSequences(
  { hooks, communicator }: RunContext,
  choice: SftOptions,
  stream: ExampleStream,
  step: number,
): Promise<Awaited<ReturnType<ExampleStream['sequences']>>> {
  const picked = await stream.next(choice.batch);
  const event = await hooks.batch({ step, items: picked.map(({ item }) => item) });
  const items = event.items as readonly (PromptItem & { readonly rationale: string })[];
  return stream.sequences(shareOf(picked, communicator), shareOf(items, communicator));
}
