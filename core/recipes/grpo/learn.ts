/** What a step learns from the groups it keeps. */
import { at } from '../../tensor/at.ts';
import { largestDifference, type Completion } from './completions.ts';
import { importanceOf } from './importance.ts';
import type { GrpoOptions } from './options.ts';
import type { Rollout } from './rollout.ts';
import type { GrpoSetup } from './setup.ts';
import { samplerDisagrees } from './update.ts';

/** Groups with the log-probabilities of their drawings: as the sampler noted them, and as the scorer computes them now. */
interface Known {
  readonly groups: readonly (readonly Completion[])[];
  readonly scored: readonly Float32Array[] | undefined;
}

/**
 * Trains on the groups that were kept: their log-probabilities when drawn, noted by the sampler or computed again, and those under
 * the reference, then the updates. Returns the numbers of the step, the largest difference of sampler and scorer among them; none
 * where nothing was left to train on.
 */
export async function learn(
  choice: GrpoOptions,
  setup: GrpoSetup,
  rollout: Rollout,
  step: number,
): Promise<Record<string, number>> {
  const { guards, update, old, reference } = setup;
  const kept = rollout.kept.map(({ completions }) => completions);
  const known = { groups: kept, scored: await old?.score(kept.flat()) };
  const { groups, scored } = await withoutRefused(setup, known, step);
  if (groups.length === 0) return {};
  const completions = groups.flat();
  const noted = completions.map(({ sequence }) => sequence.logProbability);
  // The policy that drew a carried group is gone: only the sampler's note tells of it.
  const isFresh = (index: number): boolean => completions[index]?.step === step;
  const fresh = <Value>(values: readonly Value[]): Value[] => values.filter((_, index) => isFresh(index));
  const difference = scored && largestDifference(fresh(completions), fresh(noted), fresh(scored), choice);
  if (difference !== undefined && !(difference <= choice.ratioTolerance))
    guards.trip('ratio', samplerDisagrees(difference, choice.ratioTolerance, step));
  const importance =
    choice.staleness === 1 && scored ? importanceOf(completions, noted, scored, choice, step) : undefined;
  const takesScored = (index: number): boolean =>
    importance !== undefined || (choice.oldLogProbability === 'scorer' && isFresh(index));
  const batch = {
    groups,
    old: noted.map((values, index) => (takesScored(index) ? (scored?.[index] ?? values) : values)),
    reference: choice.kl?.place === 'loss' ? await reference?.score(completions) : undefined,
    importance: importance?.weights,
  };
  const { ratioDifference, ...learned } = await update.apply(batch, step);
  const isMeasured = fresh(completions).length > 0 && ratioDifference !== undefined;
  return { ...learned, ...(isMeasured && { ratioDifference: difference ?? ratioDifference }), ...importance?.metrics };
}

/** Leaves out what workers of other adapters drew whose numbers are past the tolerance. */
async function withoutRefused({ workers, drawer }: GrpoSetup, { groups, scored }: Known, step: number): Promise<Known> {
  if (workers === undefined || scored === undefined) return { groups, scored };
  const completions = groups.flat();
  const fresh = [...completions.keys()].filter((index) => completions[index]?.step === step);
  const of = <Value>(list: readonly Value[]): Value[] => fresh.map((index) => at(list, index));
  const drawn = of(completions);
  const noted = drawn.map(({ sequence }) => sequence.logProbability);
  const refused = await workers.measure(drawn, noted, of(scored), drawer, step);
  if (refused.size === 0) return { groups, scored };
  const isLeft = (group: readonly Completion[]): boolean =>
    !group.some(({ sequence: { drawnBy } }) => drawnBy !== undefined && refused.has(drawnBy));
  const stays = groups.flatMap((group) => group.map(() => isLeft(group)));
  return { groups: groups.filter(isLeft), scored: scored.filter((_, index) => stays[index]) };
}
