/** One rollout of GRPO: draw groups, judge them, turn rewards into advantages, keep what a policy can learn from. */
import type { Judgement } from '../../contracts/hooks.ts';
import type { PromptItem } from '../../contracts/dataset.ts';
import type { NamedReward, RunContext } from '../../contracts/recipe.ts';
import { decoupledAdvantages, groupAdvantages, type RewardColumn } from '../../rl/advantages.ts';
import { downSample } from '../../rl/down-sampling.ts';
import { GroupCollector } from '../../rl/groups.ts';
import { effortMetrics, rewardMetrics, totalMetrics } from '../../rl/reward-metrics.ts';
import { isTrainedOn, rewardsAt } from '../../rl/combine.ts';
import { comeAndGo, restJudges } from '../../judging/reserve.ts';
import { Scoring, type RewardEffort } from '../../rl/scoring.ts';
import { mean } from '../../rl/statistics.ts';
import type { Drawer, Drawing, DrawPurpose } from '../../drawing/drawer.ts';
import { underWay } from '../../drawing/under-way.ts';
import type { Communicator } from '../../contracts/communicator.ts';
import { gatherPacked } from '../../ranks/packed.ts';
import { single } from '../../ranks/single.ts';
import { at } from '../../tensor/at.ts';
import { ownStarts, seedOf, type DrawnAhead } from './ahead.ts';
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

/** Draws and judges until enough groups disagree within themselves, or the budget of rounds is spent. `ahead`: what was begun of the first round. */
export async function collectRollout(
  context: RunContext,
  choice: GrpoOptions,
  tools: RolloutTools,
  step: number,
  carried: readonly TrainedGroup[],
  clock: JudgeClock,
  ahead?: DrawnAhead,
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
    const begun = rollout.rounds === 0 ? ahead : undefined;
    const { items } = begun ?? (await hooks.batch({ step, items: source.next(choice.prompts, step) }));
    const drawnAt = begun === undefined ? step : step - 1;
    const seed = seedOf(context.seed, step, rollout.rounds);
    const purpose = { label: `step-${step}-${rollout.rounds}`, step, phase: 'train' } as const;
    const { event, judged, drawings } = await clock.judged(context, step, async (scoring) => {
      const all = await drawShares(drawer, items, seed, purpose, scoring, context.communicator);
      const samples = all.map(({ sample }) => sample);
      const drawn = { step, groupSize: choice.groupSize, samples };
      await hooks.rollout(drawn);
      return { event: drawn, drawings: all };
    });
    const { judgements } = await hooks.rewards({ ...event, judgements: judged });
    const learnt = downSampled(choice, judgements);
    const computed = await computeAdvantages(
      context,
      choice,
      tools,
      { items, seed, step, drawings, judgements: learnt },
      clock,
    );
    const drawn = drawings.map(({ sequence }) => sequence);
    const { advantages, tokenWeights } = hooks.advantages({ ...event, judgements, advantages: computed, drawn });
    rollout.offer(
      items.map((_, group): Group => {
        const [start, end] = [group * choice.groupSize, (group + 1) * choice.groupSize];
        const completions = drawings.slice(start, end).flatMap(({ sequence }, copy): Completion[] => {
          const index = start + copy;
          // A sample that no reward judged says nothing, and one that was left out is not trained on: neither is part of its group.
          if (at(learnt, index).unjudged === true) return [];
          return [{ sequence, advantage: at(advantages, index), tokenWeights: tokenWeights?.[index], step: drawnAt }];
        });
        return { completions, drawings: drawings.slice(start, end), judgements: judgements.slice(start, end) };
      }),
    );
    // A stop waits for the step: half a rollout would be another one than an uninterrupted run draws.
  } while (rollout.needsMore);
  return rollout;
}

/** What advantages are computed from: a drawing that is left out counts as one that was not judged. */
function downSampled(
  { groupSize, downSample: count }: GrpoOptions,
  judgements: readonly Judgement[],
): readonly Judgement[] {
  if (count === undefined || count >= groupSize) return judgements;
  const isTrained = downSample(totalsOf(judgements), groupSize, count);
  return judgements.map((judgement, index) =>
    isTrained[index] === true ? judgement : { ...judgement, unjudged: true },
  );
}

function totalsOf(judgements: readonly Judgement[]): (number | undefined)[] {
  return judgements.map(({ total, unjudged }) => (unjudged === true ? undefined : total));
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
    return decoupledAdvantages(columnsOf(rewardsAt(context.rewards, step), judgements), groupSize);
  }
  const totals = totalsOf(judgements);
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

/** What is normalized by itself: every reward that is trained on, times the gates. */
function columnsOf(rewards: readonly NamedReward[], judgements: readonly Judgement[]): RewardColumn[] {
  const trained = rewards.filter(isTrainedOn);
  const gates = trained.filter(({ gate }) => gate === true);
  const passed = judgements.map(({ scores }) =>
    gates.reduce((product, { name }) => product * (scores[name]?.value ?? 1), 1),
  );
  const added = trained.length > gates.length ? trained.filter(({ gate }) => gate !== true) : [];
  const valueOf = (name: string, { scores, unjudged }: Judgement, index: number): number | undefined => {
    const value = scores[name]?.value;
    return unjudged === true || value === undefined ? undefined : value * at(passed, index);
  };
  if (added.length > 0)
    return added.map(({ name, weight }) => ({
      weight,
      values: judgements.map((judgement, index) => valueOf(name, judgement, index)),
    }));
  return [
    { weight: 1, values: judgements.map(({ unjudged }, index) => (unjudged === true ? undefined : passed[index])) },
  ];
}

/** The reward of the likeliest drawing of each prompt; undefined where it was not judged. */
async function greedyRewards(
  context: RunContext,
  greedy: Drawer,
  { items, seed, step }: Round,
  clock: JudgeClock,
): Promise<(number | undefined)[]> {
  const purpose = { label: `step-${step}-greedy`, step, phase: 'train' } as const;
  const { judged } = await clock.judged(context, step, async (scoring) => {
    return { drawings: await drawShares(greedy, items, seed, purpose, scoring, context.communicator) };
  });
  return totalsOf(judged);
}

/**
 * Draws as many prompts at a time as the drawer can, and as many such shares; each is judged as soon as it is there, while others are drawn: one that
 * takes long, on a slow worker or behind a dead one, keeps no judge waiting. Every rank draws some of the
 * shares, has them judged, and gets the drawings of all.
 */
export async function drawShares(
  drawer: Pick<Drawer, 'prompts' | 'draw'> & Partial<Pick<Drawer, 'atOnce'>>,
  items: readonly PromptItem[],
  seed: number,
  purpose: DrawPurpose,
  scoring: Scoring,
  communicator: Communicator = single,
): Promise<Drawing[]> {
  const { prompts, atOnce = 1 } = drawer;
  const drawings: Drawing[] = [];
  const starts = ownStarts(items.length, prompts, communicator);
  const draw = async (start: number): Promise<Drawing[]> => {
    const drawn = await drawer.draw(items.slice(start, start + prompts), seed, purpose, start);
    scoring.add(
      drawn.map(({ sample }) => sample),
      starts.indexOf(start),
    );
    return drawn;
  };
  for await (const share of underWay(starts, atOnce, draw)) {
    scoring.throwIfFailed();
    drawings.push(...share);
  }
  return (await gatherPacked(communicator, drawings)).flat();
}

/** How long judges took in a step. */
export class JudgeClock {
  /** From the first question of a round to its last answer. */
  seconds = 0;
  /** Of these, those in which nothing was drawn any more. */
  secondsWaiting = 0;
  readonly efforts: (readonly RewardEffort[])[] = [];

  /** Runs work that draws and adds what it has drawn to be judged; returns what it gave with the judgements, which are of the drawings of all ranks. */
  async judged<Drawn extends { readonly drawings: readonly Drawing[] }>(
    context: RunContext,
    step: number,
    draw: (scoring: Scoring) => Promise<Drawn>,
  ): Promise<Drawn & { readonly judged: Judgement[] }> {
    const scoring = new Scoring({
      rewards: rewardsAt(context.rewards, step),
      signal: context.signal,
      waits: comeAndGo(context),
      warn: (text) => context.log.warn(text),
    });
    try {
      const drawn = await draw(scoring);
      const waiting = performance.now();
      const samples = drawn.drawings.map(({ sample }) => sample);
      const judged = await scoring.finish({ samples, communicator: context.communicator });
      const ended = performance.now();
      this.secondsWaiting += (ended - waiting) / 1000;
      this.seconds += (ended - (scoring.begun ?? waiting)) / 1000;
      this.efforts.push(scoring.efforts);
      return { ...drawn, judged };
    } catch (error) {
      scoring.abandon(error);
      throw error;
    } finally {
      await restJudges(context);
    }
  }
}

/** Numbers of all groups drawn, before any was dropped: they show the policy, not the filter. */
export function rolloutMetrics(
  context: RunContext,
  rollout: Rollout,
  step: number,
  clock: JudgeClock,
): Record<string, number> {
  const judgements = rollout.all.flatMap((group) => group.judgements);
  const drawings = rollout.all.flatMap((group) => group.drawings);
  return {
    ...totalMetrics(rewardsAt(context.rewards, step), judgements),
    ...rewardMetrics(context.rewards, judgements),
    ...effortMetrics(clock.efforts),
    keptShare: rollout.informativeCount / rollout.all.length,
    groups: rollout.kept.length,
    carriedGroups: rollout.carriedCount,
    rounds: rollout.rounds,
    rationaleTokens: mean(drawings.map(({ sequence }) => sequence.rationaleIds.length)),
    forcedShare: mean(drawings.map(({ sequence }) => (sequence.imageStartForced ? 1 : 0))),
  };
}
