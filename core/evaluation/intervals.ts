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
  if (total === 0) return { rate: 0, low: 0, high: 1 };
  const rate = passes / total;
  const z2 = z * z;
  const scale = 1 / (1 + z2 / total);
  const center = scale * (rate + z2 / (2 * total));
  const half = scale * z * Math.sqrt((rate * (1 - rate)) / total + z2 / (4 * total * total));
  return {
    rate,
    // The bounds are exact at the ends; without this, rounding leaves 1e-17 or 1 + 1e-16.
    low: passes === 0 ? 0 : Math.max(0, center - half),
    high: passes === total ? 1 : Math.min(1, center + half),
  };
}
