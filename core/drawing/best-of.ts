/** The best of several drawings, by the word of a reward: more is drawn than is kept. What chose is no measure of what was chosen. */
import type { PlanContext } from '../contracts/recipe.ts';
import type { Sample } from '../contracts/reward.ts';
import { PresetError, suggest } from '../errors.ts';
import { z } from '../preset/zod.ts';
import { scoreSamples } from '../rl/score.ts';

export const bestOfOptions = {
  bestOf: z
    .number()
    .int()
    .positive()
    .default(1)
    .describe('drawings of which each picture is the best by the reward `chosenBy`; 1 chooses nothing'),
  chosenBy: z.string().min(1).optional().describe('name of the reward that chooses; it takes no part in scores'),
};

export interface Choosing {
  /** Drawings for each that is kept. */
  readonly count: number;
  /** Name of the reward. */
  readonly by: string;
  /** What it says of each drawing; undefined where it says nothing. */
  score(samples: readonly Sample[]): Promise<readonly (number | undefined)[]>;
}

interface ChoosingContext extends Pick<PlanContext, 'rewards' | 'log'> {
  readonly signal?: AbortSignal;
}

/** Undefined where each picture is drawn once. Throws NO_CHOOSER when it is not clear by what to choose. */
export function choosingOf(
  { rewards, log, signal = new AbortController().signal }: ChoosingContext,
  { bestOf, chosenBy }: { readonly bestOf: number; readonly chosenBy?: string | undefined },
): Choosing | undefined {
  if (bestOf === 1) return undefined;
  const names = rewards.map(({ name }) => name);
  const chooser = rewards.find(({ name }) => name === chosenBy);
  if (chooser === undefined)
    throw new PresetError({
      code: 'NO_CHOOSER',
      message:
        chosenBy === undefined
          ? `the best of ${bestOf} is wanted, and no reward is named that chooses`
          : `the preset has no reward "${chosenBy}" to choose by`,
      place: 'recipe.chosenBy',
      hint: chosenBy === undefined ? 'name one of the rewards: recipe.chosenBy, or --judge' : suggest(chosenBy, names),
    });
  return {
    count: bestOf,
    by: chooser.name,
    async score(samples) {
      const judgements = await scoreSamples([chooser], samples, signal, (message) => log.warn(message));
      return judgements.map(({ scores }) => scores[chooser.name]?.value);
    },
  };
}

/** What records and pictures say of it: nothing where each picture was drawn once. */
export function bestOfRecord({
  bestOf,
  chosenBy,
}: {
  readonly bestOf: number;
  readonly chosenBy?: string | undefined;
}): Record<string, string | number> {
  return bestOf === 1 ? {} : { bestOf, chosenBy: chosenBy ?? '' };
}

/** The place of the largest score, the first of equal ones; 0 where nothing was said. */
export function placeOfBest(scores: readonly (number | undefined)[]): number {
  return scores.reduce<number>(
    (best, score, index) => ((score ?? -Infinity) > (scores[best] ?? -Infinity) ? index : best),
    0,
  );
}
