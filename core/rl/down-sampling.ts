/**
 * Which drawings of a group are trained on: those whose rewards differ most. Drawing is cheap beside training, and drawings between the
 * extremes tell little. "Not All Rollouts are Useful" (PODS, arXiv 2504.13818), max-variance down-sampling.
 */

/** Rounding of sums must not decide. */
const tolerance = 1e-9;

/**
 * Indices, ascending, of the `count` rewards of a group whose variance is largest; of all that have one where these are fewer. A largest
 * subset consists of lowest and highest rewards (PODS); of two that are alike the more even one is taken, and of equal rewards
 * the earlier ones at the low end, the later ones at the high end. A reward that is undefined belongs to a drawing that was not judged.
 */
export function mostTelling(rewards: readonly (number | undefined)[], count: number): number[] {
  const judged = rewards.flatMap((reward, index) => (reward === undefined ? [] : [{ reward, index }]));
  if (judged.length <= count) return judged.map(({ index }) => index);
  const ascending = judged.toSorted((a, b) => a.reward - b.reward || a.index - b.index);
  // From the even split outwards, so that a later one must be better.
  const splits = Array.from({ length: count + 1 }, (_, low) => low).toSorted(
    (a, b) => Math.abs(2 * a - count) - Math.abs(2 * b - count) || a - b,
  );
  let best: { readonly spread: number; readonly indices: number[] } | undefined;
  for (const low of splits) {
    const chosen = [...ascending.slice(0, low), ...ascending.slice(ascending.length - (count - low))];
    const spread = squares(chosen.map(({ reward }) => reward));
    if (best === undefined || spread > best.spread * (1 + tolerance))
      best = { spread, indices: chosen.map(({ index }) => index) };
  }
  return (best?.indices ?? []).toSorted((a, b) => a - b);
}

/** Sum of squared distances from the mean. */
function squares(values: readonly number[]): number {
  const middle = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.reduce((sum, value) => sum + (value - middle) ** 2, 0);
}

/** For drawings of groups that stand together: whether each is trained on. */
export function downSample(rewards: readonly (number | undefined)[], groupSize: number, count: number): boolean[] {
  const chosen = rewards.map(() => false);
  for (let start = 0; start < rewards.length; start += groupSize)
    for (const index of mostTelling(rewards.slice(start, start + groupSize), count)) chosen[start + index] = true;
  return chosen;
}
