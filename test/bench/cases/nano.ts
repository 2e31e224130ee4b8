/** Whole steps of the nano model: supervised training as `core/recipes/sft/sft.ts` does it, and sampling. */
import { ParameterSet } from '../../../core/weights/parameters.ts';
import { Workspace } from '../../../core/autograd/workspace.ts';
import { Tape } from '../../../core/autograd/tape.ts';
import type { Optimizer } from '../../../core/contracts/optimizer.ts';
import type { Device } from '../../../core/gpu/device.ts';
import { packSequences, type Sequence } from '../../../core/nn/packing.ts';
import { createSampler, type SampledSequence } from '../../../core/nn/sampler.ts';
import { TokenPrograms, eachKind, type TokenProgramOptions } from '../../../core/nn/token-program.ts';
import { randomStream, randomWords } from '../../../core/testing.ts';
import { janusBackbone } from '../../../plugins/janus/backbone.ts';
import optimizers from '../../../plugins/optimizers/index.ts';
import type { Case } from '../measure.ts';

const textVocabulary = 417;
const imageVocabulary = 256;
export const codes = 36;
/** The reserved tokens of a sequence, as far as the bench needs them. */
export const imageStart = 1;
export const end = 2;

export const backbone = janusBackbone('janus-nano', {
  hidden: 128,
  layers: 6,
  heads: 4,
  keyValueHeads: 4,
  mlp: 336,
  ropeTheta: 1e4,
  normEpsilon: 1e-6,
  textVocabulary,
  imageVocabulary,
  codeDimension: 8,
});

/** A step that can be repeated, and what one repetition is. */
export interface WholeStep {
  readonly name: string;
  readonly case: Case;
  readonly tokens: number;
  /** 6 · parameters · tokens for training, 2 · parameters · tokens for sampling: multiplications and additions, attention not counted. */
  readonly operations: number;
}

/**
 * One update: 32 sequences of 10 prompt tokens, 17 of rationale and image start, 36 codes and an end. Packing, filling, forward,
 * backward, reading the loss back, optimizer, reading its report back. Making the examples is not part of it. `keeping`: what blocks keep for the way back, and how.
 */
export async function sftStep(
  device: Device,
  keeping: Pick<TokenProgramOptions, 'recompute' | 'activations'> = {},
  workspace = new Workspace(device),
): Promise<WholeStep> {
  const parameters = new ParameterSet(device, backbone.parameters, { seed: 0, trainable: () => true });
  const optimizer = adamw().open(parameters);
  const tape = new Tape(workspace);
  optimizer.record(tape);
  const update = await tape.finish('optimizer update');
  const one = device.scalar('temperature', 1);
  const programs = new TokenPrograms({
    name: 'sft',
    workspace,
    backbone,
    parameters,
    temperature: { text: one, image: one },
    ...keeping,
    objective: eachKind((recording, kind, scored) => {
      const dOut = recording.device.tensor(`sft ${kind} seeds`, scored.shape);
      return { dOut, inputs: { dOut }, outputs: {} };
    }),
  });
  const sequences = randomSequences(32);
  const tokens = packSequences(sequences).usedTokens;
  let steps = 0;
  const step = async (): Promise<void> => {
    const batch = packSequences(sequences);
    const prepared = await programs.prepare(batch);
    const weight = 1 / (batch.text.used + batch.image.used);
    for (const kind of ['text', 'image'] as const) {
      const dOut = prepared.objective[kind]?.dOut;
      if (dOut === undefined) throw new RangeError(`no ${kind} targets`);
      device.write(
        dOut,
        Float32Array.from({ length: batch[kind].count * 2 }, (_, index) =>
          index % 2 === 0 && index < 2 * batch[kind].used ? -weight : 0,
        ),
      );
    }
    prepared.program.run();
    for (const scored of [prepared.scored.text, prepared.scored.image])
      if (scored !== undefined) await device.readFloats(scored);
    steps += 1;
    optimizer.prepare(steps, 1e-3);
    update.run();
    const [norm = 0, wasApplied = 0] = await device.readFloats(optimizer.report);
    if (wasApplied !== 1 || !(norm > 0)) throw new RangeError(`step ${steps} learned nothing: gradient norm ${norm}`);
  };
  const name = 'SFT step, 32 sequences';
  return {
    name,
    tokens,
    operations: 6 * parameters.elements * tokens,
    case: { group: 'step', name, work: { amount: tokens, unit: 'tokens' }, run: repeated(step) },
  };
}

/** 128 rows: 16 prompts of 10 tokens, a rationale of at most 17 tokens, 36 codes; all of it as GRPO draws. */
export async function samplingSteps(device: Device): Promise<WholeStep[]> {
  const workspace = new Workspace(device);
  const weights = new ParameterSet(device, backbone.parameters, { seed: 0 });
  const prompts = randomSequences(16).map(({ text }) => text.slice(0, 10));
  const steps: WholeStep[] = [];
  for (const guidance of [undefined, 3]) {
    const sampler = await createSampler({
      device,
      workspace,
      backbone,
      weights,
      rows: 128,
      promptBudget: 10,
      textBudget: 18,
      imageCount: codes,
      guidance: guidance !== undefined,
      special: { imageStart, eos: end },
    });
    let drawings = 0;
    const draw = async (): Promise<SampledSequence[]> =>
      sampler.sample({
        prompts,
        samplesPerPrompt: 8,
        ...(guidance === undefined ? {} : { unconditional: [0, imageStart] }),
        seed: drawings++,
        text: { temperature: 1, topK: 0, topP: 1 },
        image: { temperature: 1, topK: 0, topP: 1, ...(guidance === undefined ? {} : { guidance }) },
        rationale: 'write',
      });
    // A fresh model seldom ends a rationale early: the count hardly varies from drawing to drawing.
    const tokens = (await draw()).reduce((sum, sequence) => sum + sequence.steps, 0);
    const name = `sampling 128 rows${guidance === undefined ? '' : ', guidance'}`;
    const run = repeated(async () => void (await draw()));
    steps.push({
      name,
      tokens,
      operations: 2 * weights.elements * tokens,
      case: { group: 'sampling', name, work: { amount: tokens, unit: 'tokens' }, run },
    });
  }
  return steps;
}

function adamw(): Optimizer {
  const component = optimizers.provides.find(({ name }) => name === 'adamw');
  if (component === undefined) throw new RangeError('there is no optimizer adamw');
  // It needs no other component: the scope stays unused.
  return component.create(component.options.parse({ learningRate: 1e-3 }), {} as never) as Optimizer;
}

/** Token ids that mean nothing; 27 text tokens of which the first 10 are prompt. */
export function randomSequences(count: number): Sequence[] {
  const random = randomStream(7);
  const words = (length: number, limit: number): number[] =>
    [...randomWords(length, Math.floor(random() * 2 ** 31), limit - 8)].map((word) => word + 8);
  return Array.from({ length: count }, () => ({
    text: [...words(26, textVocabulary), imageStart],
    firstTarget: 10,
    codes: words(codes, imageVocabulary),
    trailing: [end],
  }));
}

function repeated(step: () => Promise<void>): (times: number) => Promise<void> {
  return async (times) => {
    for (let i = 0; i < times; i++) await step();
  };
}
