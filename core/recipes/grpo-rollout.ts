/** One rollout of GRPO: draw groups, judge them, turn rewards into advantages, keep what a policy can learn from. */
import type { Judgement } from '../contracts/hooks.ts';
import type { RunContext } from '../contracts/recipe.ts';
import { groupAdvantages } from '../rl/advantages.ts';
import { GroupCollector } from '../rl/groups.ts';
import { scoreSamples } from '../rl/score.ts';
import type { Drawer, Drawing } from './drawing.ts';
import type { GrpoOptions } from './grpo-options.ts';
import type { PromptSource } from './prompt-source.ts';

/** A prompt's drawings with their judgements and advantages. */
export interface Group {
  readonly drawings: readonly Drawing[];
  readonly judgements: readonly Judgement[];
  readonly advantages: readonly number[];
}

export type Rollout = GroupCollector<Group>;

/** Draws and judges until enough groups disagree within themselves, or the budget of rounds is spent. */
export async function collectRollout(context: RunContext, choice: GrpoOptions, source: PromptSource, drawer: Drawer, step: number): Promise<Rollout> {
  const { hooks } = context;
  const rollout: Rollout = new GroupCollector({
    wanted: choice.prompts,
    rounds: choice.refillRounds + 1,
    hasSignal: ({ advantages }) => advantages.some((value) => value !== 0),
  });
  do {
    const { items } = await hooks.batch({ step, items: source.next(choice.prompts) });
    const drawings = await drawer.draw(items, seedOf(context.seed, step, rollout.rounds), `step-${step}-${rollout.rounds}`);
    const event = { step, groupSize: choice.samples, samples: drawings.map(({ sample }) => sample) };
    await hooks.rollout(event);
    const { judgements } = await hooks.rewards({ ...event, judgements: await scoreSamples(context.rewards, event.samples, context.signal) });
    const computed = groupAdvantages(judgements.map(({ total }) => total), choice.samples, { estimator: 'grpo', scale: choice.normalise ? 'group' : 'none' });
    const { advantages } = hooks.advantages({ ...event, judgements, advantages: computed });
    rollout.offer(
      items.map((_, index): Group => {
        const [start, end] = [index * choice.samples, (index + 1) * choice.samples];
        return { drawings: drawings.slice(start, end), judgements: judgements.slice(start, end), advantages: advantages.slice(start, end) };
      }),
    );
    // A stop waits for the step: half a rollout would be another one than an uninterrupted run draws.
  } while (rollout.needsMore);
  return rollout;
}

/** Numbers of all groups drawn, before any was dropped: they show the policy, not the filter. */
export function rolloutMetrics(context: RunContext, rollout: Rollout): Record<string, number> & { reward: number } {
  const judgements = rollout.all.flatMap((group) => group.judgements);
  const drawings = rollout.all.flatMap((group) => group.drawings);
  const byReward = context.rewards.map(({ name }) => [`reward/${name}`, mean(judgements.map(({ scores }) => scores[name]?.value ?? 0))]);
  return {
    reward: mean(judgements.map(({ total }) => total)),
    ...(Object.fromEntries(byReward) as Record<string, number>),
    keptShare: rollout.kept.length / rollout.all.length,
    rounds: rollout.rounds,
    rationaleTokens: mean(drawings.map(({ sequence }) => sequence.rationaleIds.length)),
    forcedShare: mean(drawings.map(({ sequence }) => (sequence.imageStartForced ? 1 : 0))),
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

/** A seed for every rollout of a run, different by step and round. */
function seedOf(seed: number, step: number, round: number): number {
  return (Math.imul(seed, 0x9e3779b1) ^ Math.imul(step * 64 + round + 1, 0x85ebca6b)) >>> 0;
}
