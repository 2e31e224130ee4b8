/**
 * Rewards to advantages: what is subtracted (the estimator) and what is divided by (the scale). Pure arithmetic on lists in which
 * the samples of one prompt stand together.
 *
 * Sources: GRPO (Shao et al. 2024), Dr. GRPO (Liu et al. 2025: no scale), RLOO (Ahmadian et al. 2024), REINFORCE++ (Hu 2025: the
 * batch is baseline and scale), ReMax (Li et al. 2023: the reward of the greedy answer), GDPO (Liu et al. 2026: every reward
 * normalized by itself).
 */
import { at } from '../tensor/at.ts';
import { deviation, mean } from './statistics.ts';

export const estimators = ['grpo', 'rloo', 'reinforce++', 'remax', 'passthrough'] as const;
export type Estimator = (typeof estimators)[number];

export const scales = ['group', 'batch', 'none'] as const;
export type Scale = (typeof scales)[number];

export interface AdvantageOptions {
  /**
   * What is subtracted. `grpo`: the mean of the group. `rloo`: the mean of the others of the group. `reinforce++`: the mean of the
   * batch. `remax`: the reward of the prompt's greedy answer. `passthrough`: nothing (pairs a judge has ranked).
   */
  readonly estimator: Estimator;
  /** What is divided by: the standard deviation (n - 1) of the group or of the batch, plus 1e-6; the estimator's own by default. */
  readonly scale?: Scale | undefined;
}

/** Numbers that stand beside the rewards. */
export interface AdvantageContext {
  /** One per group, for `remax`; undefined where the greedy answer was not judged, so that its group has nothing to be compared with. */
  readonly baselines?: readonly (number | undefined)[];
}

/** What each estimator is published with. */
export const ownScale: Readonly<Record<Estimator, Scale>> = {
  grpo: 'group',
  rloo: 'none',
  'reinforce++': 'batch',
  remax: 'none',
  passthrough: 'none',
};

const epsilon = 1e-6;

/**
 * One advantage per reward; rewards of a group stand together, `groupSize` each. Where a group is compared with itself, one
 * without variance gets exact zeros, and so does a group of one, which has nothing to be compared with. A sample without a reward
 * (undefined) is left out of its group, of the batch and of every mean, and gets 0.
 */
export function groupAdvantages(
  rewards: readonly (number | undefined)[],
  groupSize: number,
  options: AdvantageOptions,
  context: AdvantageContext = {},
): number[] {
  refuseBadRewards(rewards, groupSize);
  const { estimator, scale = ownScale[estimator] } = options;
  const { baselines } = context;
  const isCompared = (index: number): boolean =>
    baselines === undefined || baselines[Math.floor(index / groupSize)] !== undefined;
  const compared = rewards.map((reward, index) => (isCompared(index) ? reward : undefined));
  const judged = inGroups(compared, groupSize).map((group) => group.filter((reward) => reward !== undefined));
  const batch = judged.flat();
  const centered = judged.map((group, index) => center(group, estimator, batch, baselines?.[index]));
  const scaled = scaledGroups(centered, scale).flat();
  let next = 0;
  return compared.map((reward) => (reward === undefined ? 0 : at(scaled, next++)));
}

function scaledGroups(centered: readonly (readonly number[])[], scale: Scale): (readonly number[])[] {
  if (scale === 'none') return [...centered];
  const ofBatch = scale === 'batch' ? deviation(centered.flat()) : undefined;
  return centered.map((group) => divide(group, ofBatch ?? deviation(group)));
}

/** A reward with its weight and its value for every sample. */
export interface RewardColumn {
  readonly weight: number;
  /** undefined where the reward does not apply. */
  readonly values: readonly (number | undefined)[];
}

/**
 * GDPO: every reward becomes an advantage within its groups by itself, the weighted sum of these is divided by its deviation over
 * the batch. A reward of small range then counts as its weight says, and combinations that a plain sum confuses stay apart.
 */
export function decoupledAdvantages(columns: readonly RewardColumn[], groupSize: number): number[] {
  const [first] = columns;
  if (first === undefined) throw new RangeError('no rewards');
  const parts = columns.map(({ weight, values }) =>
    groupAdvantages(values, groupSize, { estimator: 'grpo' }).map((value) => value * weight),
  );
  const sums = first.values.map((_, index) => parts.reduce((sum, part) => sum + at(part, index), 0));
  const isJudged = (index: number): boolean => columns.some(({ values }) => values[index] !== undefined);
  return divide(sums, deviation(sums.filter((_, index) => isJudged(index))));
}

/** Whether a group says anything about which of its samples is better. */
export function hasVariance(rewards: readonly number[]): boolean {
  return rewards.some((reward) => reward !== rewards[0]);
}

function center(
  group: readonly number[],
  estimator: Estimator,
  batch: readonly number[],
  baseline: number | undefined,
): number[] {
  switch (estimator) {
    case 'grpo':
    case 'rloo': {
      // Rounding must not turn equal rewards into a signal.
      if (!hasVariance(group)) return group.map(() => 0);
      const middle = mean(group);
      // r - mean of the others = (r - mean) n / (n - 1).
      const stretch = estimator === 'rloo' ? group.length / (group.length - 1) : 1;
      return group.map((reward) => (reward - middle) * stretch);
    }
    case 'reinforce++': {
      const middle = mean(batch);
      return hasVariance(batch) ? group.map((reward) => reward - middle) : group.map(() => 0);
    }
    case 'remax':
      if (group.length === 0) return [];
      if (baseline === undefined || !Number.isFinite(baseline))
        throw new RangeError(`remax needs the reward of the greedy answer, not ${baseline}`);
      return group.map((reward) => reward - baseline);
    case 'passthrough':
      return [...group];
  }
}

/** A deviation of zero means values that are all zero: nothing to divide. */
function divide(values: readonly number[], by: number): number[] {
  return by === 0 ? [...values] : values.map((value) => value / (by + epsilon));
}

function inGroups<Value>(values: readonly Value[], groupSize: number): (readonly Value[])[] {
  return Array.from({ length: values.length / groupSize }, (_, index) =>
    values.slice(index * groupSize, (index + 1) * groupSize),
  );
}

function refuseBadRewards(rewards: readonly (number | undefined)[], groupSize: number): void {
  if (!Number.isInteger(groupSize) || groupSize < 1 || rewards.length % groupSize !== 0) {
    throw new RangeError(`${rewards.length} rewards are not groups of ${groupSize}`);
  }
  if (!rewards.every((reward) => reward === undefined || Number.isFinite(reward)))
    throw new RangeError('a reward is not a finite number');
}
