/** Rewards by what they look at: one drawing, the drawings of a prompt, two of them at a time, or all. Each becomes the one contract. */
import type { Reward, RewardAnswer, Sample } from '../contracts/reward.ts';
import { at } from '../tensor/at.ts';
import { mean } from './statistics.ts';

type Eventually<Value> = Value | Promise<Value>;
type Own = Pick<Reward, 'judgesBenchmarks' | 'byWorkers' | 'reserve' | 'rest'>;

export interface PointwiseReward extends Own {
  /** One drawing. Many are asked about at a time: what calls a server goes through `scope.calls` or a judge, which keep to what the preset says. */
  score(sample: Sample, signal: AbortSignal): Eventually<RewardAnswer>;
}

export interface GroupwiseReward extends Own {
  /** All drawings of one prompt; one answer each, in order. */
  score(group: readonly Sample[], signal: AbortSignal): Eventually<readonly RewardAnswer[]>;
}

export interface PairwiseReward extends Own {
  /** How far the first of two drawings of a prompt is the better one: 1, 0, or between; `null` where they cannot be compared. */
  compare(a: Sample, b: Sample, signal: AbortSignal): Eventually<number | null>;
  /** Each pair is shown in both orders, for a judge that prefers what it sees first. */
  readonly bothOrders?: boolean;
}

export interface BatchwiseReward extends Own {
  /** Everything that is judged at a time; one answer each, in order. */
  score(samples: readonly Sample[], signal: AbortSignal): Eventually<readonly RewardAnswer[]>;
}

export function pointwise(own: PointwiseReward): Reward {
  return {
    ...shared(own),
    sees: 'sample',
    score: (samples, signal) => together(samples, signal, (sample, given) => own.score(sample, given)),
  };
}

export function groupwise(own: GroupwiseReward): Reward {
  return {
    ...shared(own),
    sees: 'group',
    score: (samples, signal) => byGroup(samples, signal, (group, given) => own.score(group, given)),
  };
}

/** The share of the other drawings of its prompt that a drawing beats. */
export function pairwise(own: PairwiseReward): Reward {
  const { bothOrders = false } = own;
  const winRates = async (group: readonly Sample[], signal: AbortSignal): Promise<RewardAnswer[]> => {
    const pairs = group.flatMap((_, first) =>
      group.flatMap((_each, second) =>
        first < second || (bothOrders && first > second) ? [[first, second] as const] : [],
      ),
    );
    const wins = await together(pairs, signal, ([first, second], given) =>
      own.compare(at(group, first), at(group, second), given),
    );
    return group.map((_, index) => {
      const results = pairs.flatMap(([first, second], pair) => {
        const win = wins[pair];
        if (win === null || win === undefined) return [];
        return first === index ? [win] : second === index ? [1 - win] : [];
      });
      return results.length === 0
        ? null
        : { value: mean(results), why: `better than ${(100 * mean(results)).toFixed(0)} % of the other drawings` };
    });
  };
  return { ...shared(own), sees: 'group', score: (samples, signal) => byGroup(samples, signal, winRates) };
}

export function batchwise(own: BatchwiseReward): Reward {
  return { ...shared(own), sees: 'batch', score: (samples, signal) => own.score(samples, signal) };
}

function shared(own: Own): Own {
  const { judgesBenchmarks, byWorkers } = own;
  return {
    ...(judgesBenchmarks !== undefined && { judgesBenchmarks }),
    ...(byWorkers !== undefined && { byWorkers }),
    ...(own.reserve !== undefined && { reserve: () => own.reserve?.() ?? Promise.resolve() }),
    ...(own.rest !== undefined && { rest: () => own.rest?.() ?? Promise.resolve() }),
  };
}

async function byGroup(
  samples: readonly Sample[],
  signal: AbortSignal,
  work: (group: readonly Sample[], signal: AbortSignal) => Eventually<readonly RewardAnswer[]>,
): Promise<RewardAnswer[]> {
  const numbers = [...new Set(samples.map(({ group }) => group))];
  const groups = numbers.map((number) => samples.filter(({ group }) => group === number));
  const answers = new Map<Sample, RewardAnswer>();
  const lists = await together(groups, signal, (group, given) => work(group, given));
  groups.forEach((group, index) => {
    const list = at(lists, index);
    if (list.length !== group.length)
      throw new RangeError(`${list.length} answers for a group of ${group.length} drawings`);
    group.forEach((sample, copy) => answers.set(sample, at(list, copy)));
  });
  return samples.map((sample) => answers.get(sample) ?? null);
}

/** All at a time; the first failure ends the others. */
async function together<Item, Result>(
  items: readonly Item[],
  signal: AbortSignal,
  work: (item: Item, signal: AbortSignal) => Eventually<Result>,
): Promise<Result[]> {
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  try {
    return await Promise.all(items.map(async (item) => work(item, either)));
  } catch (error) {
    failed.abort(error);
    throw error;
  }
}
