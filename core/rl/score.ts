/** Samples that are all there to judgements. */
import type { Judgement } from '../contracts/hooks.ts';
import type { NamedReward } from '../contracts/recipe.ts';
import type { Sample } from '../contracts/reward.ts';
import { Scoring } from './scoring.ts';

/**
 * Lets every reward judge the samples at the same time and combines what they say: the weighted sum, times what gates say. Each is handed its
 * own frozen copies. Throws BAD_SCORES when a reward returns the wrong number of scores or one that is not finite, REWARD_FAILED when it
 * throws and its `onError` is `fail`, NO_VERDICT where the preset wants that; all name the reward. When one fails, the others are told to stop.
 * @param warn told of a failure that the preset allows
 */
export async function scoreSamples(
  rewards: readonly NamedReward[],
  samples: readonly Sample[],
  signal: AbortSignal,
  warn?: (message: string) => void,
): Promise<Judgement[]> {
  const scoring = new Scoring({ rewards, signal, warn });
  scoring.add(samples);
  return scoring.finish();
}
