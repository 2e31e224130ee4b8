/** Learning rates over a run, as factors of the optimizer's peak rate. Steps count from 1; the first step's rate is never zero. */
import { z } from '../preset/zod.ts';

export const scheduleOptions = {
  schedule: z
    .enum(['constant', 'linear', 'cosine'])
    .default('constant')
    .describe('shape of the learning rate after the warm-up'),
  warmup: z
    .number()
    .nonnegative()
    .default(0)
    .describe('steps of linear warm-up; a value below 1 is a share of all steps'),
  minimumRate: z.number().min(0).max(1).default(0).describe('share of the peak rate that the schedule ends with'),
  constantShare: z
    .number()
    .min(0)
    .max(1)
    .default(0)
    .describe('share of all steps that keep the peak rate before it falls'),
};

export interface Schedule {
  readonly schedule: 'constant' | 'linear' | 'cosine';
  readonly warmup: number;
  readonly minimumRate: number;
  readonly constantShare: number;
}

/** What to say of a warm-up that a run of so many steps does not finish; undefined where it does. */
export function unfinishedWarmup(steps: number, { warmup }: Pick<Schedule, 'warmup'>): string | undefined {
  if (warmup <= steps) return undefined;
  const share = ((100 * steps) / warmup).toPrecision(2);
  return `recipe.warmup takes ${warmup} steps and recipe.steps is ${steps}: the learning rate ends at ${share} % of optimizer.learningRate; a warm-up below 1 is a share of all steps`;
}

export function rateFactor(step: number, steps: number, options: Schedule): number {
  const warmup = options.warmup < 1 ? Math.round(options.warmup * steps) : options.warmup;
  if (step < warmup) return step / warmup;
  if (options.schedule === 'constant') return 1;
  // Without a warm-up the first step has the whole rate.
  const fallFrom = Math.max(1, warmup, options.constantShare * steps);
  if (step <= fallFrom) return 1;
  const progress = Math.min(1, (step - fallFrom) / Math.max(1, steps - fallFrom));
  const shape = options.schedule === 'linear' ? 1 - progress : 0.5 * (1 + Math.cos(Math.PI * progress));
  return options.minimumRate + (1 - options.minimumRate) * shape;
}
