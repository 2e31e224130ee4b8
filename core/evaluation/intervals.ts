/** A pass rate with its confidence interval; all three are shares in [0, 1]. */
export interface Interval {
  readonly rate: number;
  readonly low: number;
  readonly high: number;
}

/**
 * Wilson score interval of a binomial share (Wilson 1927). `z` = 1.96 gives 95 %.
 * No trials say nothing: the rate is 0 and the interval is [0, 1].
 */
export function wilson(passes: number, total: number, z = 1.96): Interval {
  if (!Number.isInteger(passes) || !Number.isInteger(total) || passes < 0 || passes > total) {
    throw new RangeError(`wilson: ${passes} passes of ${total} is not a count.`);
  }
  const rate = total === 0 ? 0 : passes / total;
  return { rate, ...wilsonOfMean(rate, total, z) };
}

/**
 * The same interval around the mean of `total` scores in [0, 1]: right for passes, too wide for anything else, since no scores vary more about
 * their mean than passes do.
 */
export function wilsonOfMean(mean: number, total: number, z = 1.96): Omit<Interval, 'rate'> {
  if (total === 0) return { low: 0, high: 1 };
  const z2 = z * z;
  const scale = 1 / (1 + z2 / total);
  const center = scale * (mean + z2 / (2 * total));
  const half = scale * z * Math.sqrt((mean * (1 - mean)) / total + z2 / (4 * total * total));
  return {
    // The bounds are exact at the ends; without this, rounding leaves 1e-17 or 1 + 1e-16.
    low: mean === 0 ? 0 : Math.max(0, center - half),
    high: mean === 1 ? 1 : Math.min(1, center + half),
  };
}
