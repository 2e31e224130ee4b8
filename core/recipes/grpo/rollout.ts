/** One rollout of GRPO: draw groups, judge them, turn rewards into advantages, keep what a policy can learn from. */
import type { AdvantagesEvent, Judgement } from '../../contracts/hooks.ts';
import type { PromptItem } from '../../contracts/dataset.ts';
import type { RunContext } from '../../contracts/recipe.ts';
import { ReasongenError } from '../../errors.ts';
import { decoupledAdvantages, groupAdvantages } from '../../rl/advantages.ts';
import { GroupCollector } from '../../rl/groups.ts';
import { scoreSamples } from '../../rl/score.ts';
import type { Drawer, Drawing } from '../../drawing/drawer.ts';
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
    const drawings = await drawer.draw(items, seed, `step-${step}-${rollout.rounds}`);
    const event = { step, groupSize: choice.groupSize, samples: drawings.map(({ sample }) => sample) };
    await hooks.rollout(event);
    const { judgements } = await hooks.rewards({
      ...event,
      judgements: await scoreSamples(context.rewards, event.samples, context.signal),
    });
    const computed = await computeAdvantages(context, choice, tools, { items, seed, step, drawings, judgements });
    const drawn = drawings.map(({ sequence }) => sequence);
    const decided = hooks.advantages({ ...event, judgements, advantages: computed, drawn });
    const { advantages, tokenWeights } = decided;
    refuseBadWeights(decided);
    rollout.offer(
      items.map((_, index): Group => {
        const [start, end] = [index * choice.groupSize, (index + 1) * choice.groupSize];
        const completions = drawings.slice(start, end).map(({ sequence }, sample): Completion => ({
          sequence,
          advantage: advantages[start + sample] ?? 0,
          tokenWeights: tokenWeights?.[start + sample],
          step,
        }));
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
): Promise<number[]> {
  const { drawings, judgements, items, seed, step } = round;
  const { estimator, normalize, groupSize, decoupled } = choice;
  if (decoupled) {
    const columns = context.rewards.map(({ name, weight }) => ({
      weight,
      values: judgements.map(({ scores }) => scores[name]?.value ?? 0),
    }));
    return decoupledAdvantages(columns, groupSize);
  }
  const totals = judgements.map(({ total }) => total);
  const subtracted = await penalties?.(drawings.map(({ sequence }): Completion => ({ sequence, advantage: 0, step })));
  const rewards = subtracted === undefined ? totals : totals.map((total, index) => total - (subtracted[index] ?? 0));
  const baselines =
    greedy === undefined ? undefined : await greedyRewards(context, greedy, items, seed, `step-${step}-greedy`);
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

/** Whether all drawings of the group of drawing `index` were judged alike. */
function isConstant(totals: readonly number[], groupSize: number, index: number): boolean {
  const start = Math.floor(index / groupSize) * groupSize;
  return totals.slice(start, start + groupSize).every((total) => total === totals[start]);
}

async function greedyRewards(
  context: RunContext,
  greedy: Drawer,
  items: readonly PromptItem[],
  seed: number,
  label: string,
): Promise<number[]> {
  const drawings = await greedy.draw(items, seed, label);
  const judgements = await scoreSamples(
    context.rewards,
    drawings.map(({ sample }) => sample),
    context.signal,
  );
  return judgements.map(({ total }) => total);
}

function refuseBadWeights({ tokenWeights, drawn }: AdvantagesEvent): void {
  if (tokenWeights === undefined) return;
  drawn.forEach(({ logProbability }, index) => {
    const weights = tokenWeights[index];
    if (weights?.length === logProbability.length && weights.every((weight) => Number.isFinite(weight) && weight >= 0))
      return;
    throw new ReasongenError({
      code: 'BAD_TOKEN_WEIGHTS',
      message: `an extension gave ${weights?.length ?? 'no'} token weights for drawing ${index}, which has ${logProbability.length} tokens, or one that is negative or not finite`,
      place: 'hook "advantages"',
      hint: 'give one weight of zero or more for every log-probability of every drawing, or none at all',
    });
  });
}

/** Numbers of all groups drawn, before any was dropped: they show the policy, not the filter. */
export function rolloutMetrics(context: RunContext, rollout: Rollout): Record<string, number> & { reward: number } {
  const judgements = rollout.all.flatMap((group) => group.judgements);
  const drawings = rollout.all.flatMap((group) => group.drawings);
  const byReward = context.rewards.map(({ name }) => [
    `reward/${name}`,
    mean(judgements.map(({ scores }) => scores[name]?.value ?? 0)),
  ]);
  const most = context.rewards.reduce((sum, { weight }) => sum + Math.max(0, weight), 0);
  return {
    reward: mean(judgements.map(({ total }) => total)),
    ...(Object.fromEntries(byReward) as Record<string, number>),
    // Rewards are 1 at best; rounding of a weighted sum must not fail a drawing.
    passRate: mean(judgements.map(({ total }) => Number(total >= most - 1e-9))),
    keptShare: rollout.informativeCount / rollout.all.length,
    groups: rollout.kept.length,
    carriedGroups: rollout.carriedCount,
    rounds: rollout.rounds,
    rationaleTokens: mean(drawings.map(({ sequence }) => sequence.rationaleIds.length)),
    forcedShare: mean(drawings.map(({ sequence }) => (sequence.imageStartForced ? 1 : 0))),
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0) / Math.max(1, values.length);
}

/** A seed for every rollout of a run, different by step and round. */
function seedOf(seed: number, step: number, round: number): number {
  return (Math.imul(seed, 0x9e3779b1) ^ Math.imul(step * 64 + round + 1, 0x85ebca6b)) >>> 0;
}
