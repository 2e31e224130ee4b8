/** What is looked at in every step: judges and rewards of what was drawn, entropy and divergence of what was learned. */
import type { RunContext } from '../../contracts/recipe.ts';
import { isTrainedOn } from '../../rl/combine.ts';
import type { HackWatch } from '../../rl/hack-watch.ts';
import { mean } from '../../rl/statistics.ts';
import { watchedPictures } from '../../rl/watched-pictures.ts';
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

/** Numbers of the pictures of a step, after a word or a stop where they look as if the policy pleased its judge instead of drawing better. */
export function lookAtPictures(
  context: RunContext,
  choice: GrpoOptions,
  guards: Guards,
  rollout: Rollout,
  step: number,
  watch: HackWatch,
): Record<string, number> {
  const samples = rollout.all.flatMap(({ drawings }) => drawings.map(({ sample }) => sample));
  const judgements = rollout.all.flatMap((group) => group.judgements);
  const pictures = watchedPictures(samples, choice.groupSize);
  const meanOf = (names: readonly string[]): number | undefined => {
    const values = judgements.flatMap(({ scores }) => names.flatMap((name) => scores[name]?.value ?? []));
    return values.length === 0 ? undefined : mean(values);
  };
  const heldOut = context.rewards.filter((named) => !isTrainedOn(named)).map(({ name }) => name);
  const trained = mean(judgements.filter(({ unjudged }) => unjudged !== true).map(({ total }) => total));
  for (const message of watch.note({ ...pictures, trained, heldOut: meanOf(heldOut) }))
    guards.trip('hacking', {
      code: 'REWARD_HACKING',
      message: `step ${step}: ${message}`,
      hint: 'look at the saved samples: the policy may please its judge instead of drawing better; add a gate such as `artifact`, another judge, or a stronger kl',
    });
  return {
    'pictures/empty': pictures.empty,
    'pictures/duplicates': pictures.duplicates,
    'pictures/diversity': pictures.diversity,
  };
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
