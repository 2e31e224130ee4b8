/** What every training recipe may say about which weights are trained, how they are kept, and when they are saved. */
import type { Recompute } from '../autograd/recompute.ts';
import type { Smaller } from '../contracts/recipe.ts';
import { byteSize, byteSizeBelow, parseByteSize } from '../preset/byte-size.ts';
import { metricName } from '../preset/metric-name.ts';
import { z } from '../preset/zod.ts';
import { scheduleOptions } from './schedule.ts';
import { storageOption, weightsInput } from '../models/weights.ts';
import { precisionOption } from '../models/precision.ts';

const whole = z.number().int().positive();

const lora = z.strictObject({
  rank: whole.default(16).describe('columns of the low-rank product'),
  alpha: z.number().positive().default(32).describe('the product is multiplied by alpha / rank'),
  target: z
    .array(z.string())
    .min(1)
    .default(['*_proj.weight'])
    .describe('name patterns of the matrices that get an adapter'),
  dropout: z
    .number()
    .min(0)
    .lt(1)
    .default(0)
    .describe("share of an adapter's inputs that a pass leaves out while it learns"),
});

const ema = z.strictObject({
  decay: z.number().min(0).lt(1).default(0.999).describe('share of the average that stays at every update'),
  start: z
    .number()
    .int()
    .nonnegative()
    .default(0)
    .describe('updates before averaging begins; until then the average is the weights themselves'),
  evaluate: z
    .boolean()
    .default(true)
    .describe('draw evaluations from the average instead of the weights that are trained'),
});

const keepBest = z.strictObject({
  metric: metricName().describe('name of the number, as it stands in metrics.ndjson'),
  mode: z.enum(['min', 'max']).default('max').describe('whether less or more is better'),
});

const keepBudget = z.strictObject({
  budget: byteSize().describe('most that is kept of a forward pass beyond what enters its blocks, such as `2 GiB`'),
});

export const lostShareOption = {
  lostShare: z
    .number()
    .min(0)
    .max(1)
    .default(0.1)
    .describe('share of the values multiplied on tensor cores that may be taken as 0 before a guard acts'),
};

export const trainingOptions = {
  weights: weightsInput()
    .optional()
    .describe(
      'checkpoint, run folder, published model or file of weights to start from, or `random`; fresh weights otherwise',
    ),
  train: z.array(z.string()).min(1).default(['*']).describe('name patterns of the parameters that are trained'),
  freeze: z.array(z.string()).default([]).describe('name patterns of parameters that are not, whatever `train` says'),
  lora: lora.optional().describe('train low-rank adapters beside frozen weights instead of the weights'),
  ema: ema.optional().describe('keep an exponential average of the trained weights'),
  storage: storageOption.storage.describe('how frozen matrices are kept on the device; trained ones are always f32'),
  recompute: z
    .union([z.boolean(), keepBudget])
    .default(false)
    .describe(
      'keep only what enters each block of the backbone and compute the rest again on the way back: the same bits in much less memory, up to a third more time; `{ budget: 2 GiB }` keeps so much of what is dearest to compute as well',
    ),
  activations: z
    .enum(['f32', 'f16'])
    .default('f32')
    .describe(
      'how what blocks keep for the way back lies between forward and backward: in f16, each row scaled by a power of two, it takes half, and gradients are rounded by it; the forward pass is not',
    ),
  ...precisionOption,
  ...lostShareOption,
  saveEvery: whole.default(200).describe('steps between checkpoints; the last step always saves'),
  keep: whole.default(2).describe('newest checkpoints kept'),
  keepEvery: whole.optional().describe('checkpoints of steps that are multiples of this are kept for good'),
  keepBest: keepBest.optional().describe('also keep the checkpoint that is best by one number of its step'),
  ...scheduleOptions,
};

/** The option `recompute` in bytes. */
export function recomputeOf({ recompute }: Pick<TrainingChoice, 'recompute'>): Recompute {
  return typeof recompute === 'boolean' ? recompute : { budget: parseByteSize(recompute.budget) };
}

/** Of a proposal that computes blocks again where that was not chosen: room that is left is for what is dearest to compute, all of it for what was chosen. */
export function keepingMore<Choice extends TrainingChoice>(
  chosen: Choice,
  smaller: Choice,
  propose: (choice: Choice) => Smaller,
): Pick<Smaller, 'spend'> {
  if (smaller.recompute !== true || chosen.recompute === true) return {};
  return {
    spend: (bytes) =>
      propose({
        ...smaller,
        recompute: bytes === Number.POSITIVE_INFINITY ? chosen.recompute : { budget: byteSizeBelow(bytes) },
      }),
  };
}

/** Adapters as they are where nothing is said about them. */
export const defaultLora = lora.parse({});

export type LoraOptions = z.output<typeof lora>;
export type TrainingChoice = z.output<z.ZodObject<typeof trainingOptions>>;

/** The change that saves most: adapters beside frozen weights in 16 bits, where a run that trains all weights can do with them. */
export function adapterChange({
  lora: chosen,
  weights,
  train,
  freeze,
  ema: average,
  storage,
}: TrainingChoice): Partial<TrainingChoice> | undefined {
  if (
    chosen !== undefined ||
    weights === undefined ||
    train.join() !== '*' ||
    freeze.length > 0 ||
    average !== undefined
  )
    return undefined;
  return { lora: defaultLora, storage: storage === 'f32' ? 'bf16' : storage };
}
