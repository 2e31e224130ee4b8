/** One rollout of GRPO: draw groups, judge them, turn rewards into advantages, keep what a policy can learn from. */
import type { Judgement } from '../../contracts/hooks.ts';
import type { PromptItem } from '../../contracts/dataset.ts';
import type { RunContext } from '../../contracts/recipe.ts';
import type { Sample } from '../../contracts/reward.ts';
import { decoupledAdvantages, groupAdvantages } from '../../rl/advantages.ts';
import { GroupCollector } from '../../rl/groups.ts';
import { rewardMetrics, totalMetrics } from '../../rl/reward-metrics.ts';
import { scoreSamples } from '../../rl/score.ts';
import { mean } from '../../rl/statistics.ts';
import type { Drawer, Drawing } from '../../drawing/drawer.ts';
import { at } from '../../tensor/at.ts';
import type { TrainedGroup } from './carry.ts';
import type { Completion } from './completions.ts';
import type { GrpoOptions } from './options.ts';
import type { PromptSource } from './prompt-source.ts';

/** A prompt's drawings with their judgements; one that was carried over has its completions only. */
export interface Group extends TrainedGroup {
  readonly drawings: readonly Drawing[];
  readonly judgements: readonly Judgement[];
}

export type Rollout = GroupCollector<Group>;

/** What draws and measures. */
export interface RolloutTools {
  readonly source: PromptSource;
  readonly drawer: Drawer;
  /** Draws each prompt once, taking the likeliest token; only for the estimator `remax`. */
  readonly greedy: Drawer | undefined;
  /** What to subtract from each drawing's reward, for a divergence in the reward. */
  readonly penalties: ((completions: readonly Completion[]) => Promise<number[]>) | undefined;
}

/** Draws and judges until enough groups disagree within themselves, or the budget of rounds is spent. */
export async function collectRollout(
  context: RunContext,
  choice: GrpoOptions,
  tools: RolloutTools,
  step: number,
  carried: readonly TrainedGroup[],
  clock: JudgeClock,
): Promise<Rollout> {
  const { hooks } = context;
  const { source, drawer } = tools;
  const rollout: Rollout = new GroupCollector<Group>({
    wanted: choice.prompts,
    rounds: choice.refillRounds + 1,
    hasSignal: ({ completions }) => completions.some(({ advantage }) => advantage !== 0),
    carried: carried.map(({ completions }) => ({ completions, drawings: [], judgements: [] })),
  });
  do {
    const { items } = await hooks.batch({ step, items: source.next(choice.prompts, step) });
    const seed = seedOf(context.seed, step, rollout.rounds);
    const drawings = await drawer.draw(items, seed, { label: `step-${step}-${rollout.rounds}`, step, phase: 'train' });
    const event = { step, groupSize: choice.groupSize, samples: drawings.map(({ sample }) => sample) };
    await hooks.rollout(event);
    const { judgements } = await hooks.rewards({ ...event, judgements: await judge(context, event.samples, clock) });
    const computed = await computeAdvantages(
      context,
      choice,
      tools,
      { items, seed, step, drawings, judgements },
      clock,
    );
    const drawn = drawings.map(({ sequence }) => sequence);
    const { advantages, tokenWeights } = hooks.advantages({ ...event, judgements, advantages: computed, drawn });
    rollout.offer(
      items.map((_, group): Group => {
        const [start, end] = [group * choice.groupSize, (group + 1) * choice.groupSize];
        const completions = drawings.slice(start, end).flatMap(({ sequence }, copy): Completion[] => {
          const index = start + copy;
          // A sample that no reward judged says nothing: it is no part of its group.
          if (at(judgements, index).unjudged === true) return [];
          return [{ sequence, advantage: at(advantages, index), tokenWeights: tokenWeights?.[index], step }];
        });
        return { completions, drawings: drawings.slice(start, end), judgements: judgements.slice(start, end) };
      }),
    );
    // A stop waits for the step: half a rollout would be another one than an uninterrupted run draws.
  } while (rollout.needsMore);
  return rollout;
}

interface Round {
  readonly items: readonly PromptItem[];
  readonly seed: number;
  readonly step: number;
  readonly drawings: readonly Drawing[];
  readonly judgements: readonly Judgement[];
}

async function computeAdvantages(
  context: RunContext,
  choice: GrpoOptions,
  { greedy, penalties }: RolloutTools,
  round: Round,
  clock: JudgeClock,
): Promise<number[]> {
  const { drawings, judgements, step } = round;
  const { estimator, normalize, groupSize, decoupled } = choice;
  if (decoupled) {
    const columns = context.rewards.map(({ name, weight }) => ({
      weight,
      values: judgements.map(({ scores, unjudged }) => (unjudged === true ? undefined : scores[name]?.value)),
    }));
    return decoupledAdvantages(columns, groupSize);
  }
  const totals = judgements.map(({ total, unjudged }) => (unjudged === true ? undefined : total));
  const subtracted = await penalties?.(drawings.map(({ sequence }): Completion => ({ sequence, advantage: 0, step })));
  const rewards =
    subtracted === undefined
      ? totals
      : totals.map((total, index) => (total === undefined ? undefined : total - at(subtracted, index)));
  const baselines = greedy === undefined ? undefined : await greedyRewards(context, greedy, round, clock);
  const computed = groupAdvantages(
    rewards,
    groupSize,
    { estimator, scale: normalize },
    baselines === undefined ? {} : { baselines },
  );
  // A divergence makes every group differ within itself: whether one is worth training on is the judges' word.
  const isRelative = subtracted !== undefined && (estimator === 'grpo' || estimator === 'rloo');
  return isRelative ? computed.map((value, index) => (isConstant(totals, groupSize, index) ? 0 : value)) : computed;
}

/** Whether all judged drawings of the group of drawing `index` were judged alike. */
function isConstant(totals: readonly (number | undefined)[], groupSize: number, index: number): boolean {
  const start = Math.floor(index / groupSize) * groupSize;
  const judged = totals.slice(start, start + groupSize).filter((total) => total !== undefined);
  return judged.every((total) => total === judged[0]);
}

/** The reward of the likeliest drawing of each prompt. */
async function greedyRewards(
  context: RunContext,
  greedy: Drawer,
  { items, seed, step }: Round,
  clock: JudgeClock,
): Promise<number[]> {
  const drawings = await greedy.draw(items, seed, { label: `step-${step}-greedy`, step, phase: 'train' });
  const samples = drawings.map(({ sample }) => sample);
  return (await judge(context, samples, clock)).map(({ total }) => total);
}

/** How long judges took, apart from drawing. */
export interface JudgeClock {
  seconds: number;
}

async function judge(context: RunContext, samples: readonly Sample[], clock: JudgeClock): Promise<Judgement[]> {
  const started = performance.now();
  const judgements = await scoreSamples(context.rewards, samples, context.signal, (text) => context.log.warn(text));
  clock.seconds += (performance.now() - started) / 1000;
  return judgements;
}

/** Numbers of all groups drawn, before any was dropped: they show the policy, not the filter. */
export function rolloutMetrics(
  context: RunContext,
  rollout: Rollout,
): Record<string, number> & { reward: number; passRate: number } {
  const judgements = rollout.all.flatMap((group) => group.judgements);
  const drawings = rollout.all.flatMap((group) => group.drawings);
  return {
    ...totalMetrics(context.rewards, judgements),
    ...rewardMetrics(context.rewards, judgements),
    keptShare: rollout.informativeCount / rollout.all.length,
    groups: rollout.kept.length,
    carriedGroups: rollout.carriedCount,
    rounds: rollout.rounds,
    rationaleTokens: mean(drawings.map(({ sequence }) => sequence.rationaleIds.length)),
    forcedShare: mean(drawings.map(({ sequence }) => (sequence.imageStartForced ? 1 : 0))),
  };
}

/** A seed for every rollout of a run, different by step and round. */
function seedOf(seed: number, step: number, round: number): number {
  return (Math.imul(seed, 0x9e3779b1) ^ Math.imul(step * 64 + round + 1, 0x85ebca6b)) >>> 0;
}
