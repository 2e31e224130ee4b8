/**
 * Rewards to advantages within groups: the samples of one prompt are judged against each other.
 */
export interface AdvantageOptions {
  /** `grpo`: reward minus the mean of its group. `rloo`: reward minus the mean of the others of its group. */
  readonly estimator: 'grpo' | 'rloo';
  /** Divide by the group's standard deviation (n - 1 in the denominator) plus 1e-6, as GRPO does; false is Dr. GRPO. Not read by rloo. */
  readonly normalise: boolean;
}

/**
 * One advantage per reward; rewards of a group stand together, `groupSize` each. A group without variance gets zeros, and so
 * does a group of one, which has nothing to be compared with.
 */
export function groupAdvantages(rewards: readonly number[], groupSize: number, options: AdvantageOptions): number[] {
  if (!Number.isInteger(groupSize) || groupSize < 1 || rewards.length % groupSize !== 0) {
    throw new RangeError(`${rewards.length} rewards are not groups of ${groupSize}`);
  }
  if (!rewards.every(Number.isFinite)) throw new RangeError('a reward is not a finite number');
  const advantages: number[] = [];
  for (let start = 0; start < rewards.length; start += groupSize) {
    const group = rewards.slice(start, start + groupSize);
    advantages.push(...(hasVariance(group) ? ofGroup(group, options) : group.map(() => 0)));
  }
  return advantages;
}

/** Whether a group says anything about which of its samples is better. */
export function hasVariance(rewards: readonly number[]): boolean {
  return rewards.some((reward) => reward !== rewards[0]);
}

function ofGroup(rewards: readonly number[], { estimator, normalise }: AdvantageOptions): number[] {
  const count = rewards.length;
  const mean = rewards.reduce((sum, reward) => sum + reward, 0) / count;
  const centred = rewards.map((reward) => reward - mean);
  // r - mean of the others = (r - mean) n / (n - 1).
  if (estimator === 'rloo') return centred.map((value) => (value * count) / (count - 1));
  if (!normalise) return centred;
  const deviation = Math.sqrt(centred.reduce((sum, value) => sum + value * value, 0) / (count - 1));
  return centred.map((value) => value / (deviation + 1e-6));
}
