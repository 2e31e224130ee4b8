/** What a step learns from the groups it keeps. */
import { largestDifference } from './completions.ts';
import type { GrpoOptions } from './options.ts';
import type { Rollout } from './rollout.ts';
import type { GrpoSetup } from './setup.ts';
import { drawingsAtOnce } from './sizes.ts';
import { samplerDisagrees } from './update.ts';

/**
 * Trains on the groups that were kept: their log-probabilities when drawn, noted by the sampler or computed again, and those under
 * the reference, then the updates. Returns the numbers of the step, the largest difference of sampler and scorer among them.
 */
export async function learn(
  choice: GrpoOptions,
  { guards, update, old, reference }: GrpoSetup,
  rollout: Rollout,
  step: number,
): Promise<Record<string, number>> {
  const groups = rollout.kept.map(({ completions }) => completions);
  const completions = groups.flat();
  const noted = completions.map(({ sequence }) => sequence.logProbability);
  const scored = await old?.score(completions, drawingsAtOnce(choice));
  // The policy that drew a carried group is gone: only the sampler's note tells of it.
  const isFresh = (index: number): boolean => completions[index]?.step === step;
  const fresh = <Value>(values: readonly Value[]): Value[] => values.filter((_, index) => isFresh(index));
  const difference = scored && largestDifference(fresh(completions), fresh(noted), fresh(scored), choice);
  if (difference !== undefined && !(difference <= choice.ratioTolerance))
    guards.trip('ratio', samplerDisagrees(difference, choice.ratioTolerance, step));
  const batch = {
    groups,
    old: noted.map((values, index) => (isFresh(index) ? (scored?.[index] ?? values) : values)),
    reference: choice.kl?.place === 'loss' ? await reference?.score(completions) : undefined,
  };
  return { ...(await update.apply(batch, step)), ...(difference !== undefined && { ratioDifference: difference }) };
}
