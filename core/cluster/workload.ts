/** What a step of a preset asks of a cluster: jobs, questions, updates, and bytes that travel. */
import type { ParameterSpec } from '../contracts/backbone.ts';
import type { Preset } from '../contracts/preset.ts';
import { exitCodes, ReasongenError } from '../errors.ts';
import type { GrpoOptions } from '../recipes/grpo/options.ts';
import { promptsAtOnce, trainedPerGroup } from '../recipes/grpo/sizes.ts';
import type { SftOptions } from '../recipes/sft/options.ts';
import { sizeOf } from '../tensor/tensor.ts';
import { chooseTrained, matcher } from '../training/name-patterns.ts';
import { adapterSpecs } from '../weights/adapters.ts';

export interface Workload {
  /** Drawings of each job of a rollout; empty where nothing is drawn. */
  readonly jobs: readonly number[];
  /** Drawings, or examples, of each update of a step. */
  readonly updates: readonly number[];
  /** Bytes of each tensor that is trained, f32: what goes to the workers once a step, and between ranks at every update. */
  readonly tensors: readonly number[];
  /** Whether the next step is drawn while this one trains. */
  readonly isAhead: boolean;
  /** One job in so many is drawn again by the trainer; 0: none. */
  readonly spotCheck: number;
  /** Until the job of a worker that died is another's. */
  readonly lockSeconds: number;
  /** Whether weights go through the queue, piece by piece, or through a folder. */
  readonly isThroughQueue: boolean;
  readonly stepsBetweenSaves: number;
  readonly refillRounds: number;
}

/** Whether a preset is of a recipe whose schedule is known. */
export function isSimulated(preset: Preset): boolean {
  return ['grpo', 'sft'].includes(preset.components['recipe']?.[0]?.use ?? '');
}

/** Throws NOTHING_TO_SIMULATE for a preset of another recipe than `sft` and `grpo`. */
export function refuseUnknownSchedule(preset: Preset): void {
  if (isSimulated(preset)) return;
  throw new ReasongenError({
    code: 'NOTHING_TO_SIMULATE',
    message: `a schedule on a cluster is known of sft and grpo, not of ${preset.components['recipe']?.[0]?.use ?? 'no recipe'}`,
    place: `preset ${preset.name}`,
    hint: 'leave out --cluster, or name a preset of one of these',
    exitCode: exitCodes.badPreset,
  });
}

/** Of a preset of `sft` or `grpo`. */
export function workloadOf(preset: Preset, parameters: readonly ParameterSpec[]): Workload {
  refuseUnknownSchedule(preset);
  const recipe = preset.components['recipe']?.[0];
  return recipe?.use === 'grpo'
    ? grpoWorkload(preset, recipe.options as unknown as GrpoOptions, parameters)
    : sftWorkload(recipe?.options as unknown as SftOptions, parameters);
}

function grpoWorkload(preset: Preset, choice: GrpoOptions, parameters: readonly ParameterSpec[]): Workload {
  const executor = preset.components['executor']?.[0]?.options ?? {};
  const { prompts, groupSize, miniBatches, epochs } = choice;
  const atOnce = promptsAtOnce(choice, { size: 1 });
  const perMiniBatch = shares(prompts, Math.ceil(prompts / miniBatches)).map(
    (groups) => groups * trainedPerGroup(choice),
  );
  return {
    jobs: shares(prompts, atOnce).map((some) => some * groupSize),
    updates: Array.from({ length: epochs }, () => perMiniBatch).flat(),
    tensors: trainedTensors(choice, parameters),
    isAhead: choice.staleness === 1,
    // The defaults of the executor bullmq where the preset names none.
    spotCheck: Number(executor['spotCheck'] ?? 16),
    lockSeconds: Number(executor['lockSeconds'] ?? 30),
    isThroughQueue: executor['weights'] === undefined,
    stepsBetweenSaves: choice.saveEvery,
    refillRounds: choice.refillRounds,
  };
}

function sftWorkload(choice: SftOptions, parameters: readonly ParameterSpec[]): Workload {
  return {
    jobs: [],
    updates: [choice.batch],
    tensors: trainedTensors(choice, parameters),
    isAhead: false,
    ...{ spotCheck: 0, lockSeconds: 0, isThroughQueue: true, refillRounds: 0 },
    stepsBetweenSaves: choice.saveEvery,
  };
}

function trainedTensors(
  { lora, train, freeze }: Pick<GrpoOptions, 'lora' | 'train' | 'freeze'>,
  parameters: readonly ParameterSpec[],
): number[] {
  const names = parameters.map(({ name }) => name);
  const isTrained = lora === undefined ? chooseTrained(names, train, freeze) : undefined;
  const trained =
    lora === undefined
      ? parameters.filter(({ name }) => isTrained?.(name) === true)
      : adapterSpecs(parameters, { match: matcher(lora.target), rank: lora.rank });
  return trained.map(({ shape }) => 4 * sizeOf(shape));
}

/** `total` in shares of at most `size`. */
function shares(total: number, size: number): number[] {
  return Array.from({ length: Math.ceil(total / size) }, (_, index) => Math.min(size, total - index * size));
}
