/** What is looked at in every step: judges and rewards of what was drawn, entropy and divergence of what was learned. */
import type { RunContext } from '../../contracts/recipe.ts';
import { checkJudges, checkPolicy, checkRewards, type Guards, type RewardHistory } from '../../training/guards.ts';
import type { GrpoOptions } from './options.ts';
import type { Rollout } from './rollout.ts';

/** Looks at what was drawn: warnings and guards about rewards and judges. Returns the history of rewards for the next step. */
export function lookAtRollout(
  context: RunContext,
  choice: GrpoOptions,
  guards: Guards,
  rollout: Rollout,
  step: number,
  before: RewardHistory,
): RewardHistory {
  const judgements = rollout.all.flatMap((group) => group.judgements);
  checkJudges(guards, choice.unparsedShare, judgements, step);
  if (rollout.kept.length < 2 && rollout.warning !== undefined) context.log.warn(`step ${step}: ${rollout.warning}`);
  return checkRewards(
    guards,
    choice.guardWindow,
    judgements.filter(({ unjudged }) => unjudged !== true).map(({ total }) => total),
    rollout.informativeCount > 0,
    before,
  );
}

/** Looks at the policy behind the updates of a step; `learned` is empty when there was nothing to learn from. */
export function lookAtPolicy(
  guards: Guards,
  choice: GrpoOptions,
  learned: Readonly<Record<string, number>>,
  step: number,
): void {
  const numbers = {
    entropy: { text: learned['text/entropy'], image: learned['image/entropy'] },
    fromSampler: learned['kl'] ?? 0,
    fromReference: learned['referenceKl'],
  };
  checkPolicy(guards, choice, numbers, step);
}
