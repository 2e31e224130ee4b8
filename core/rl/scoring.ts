/**
 * Samples to judgements, while more of them are still being drawn: every reward that looks at single samples or at groups is asked as soon as
 * a share is there, the others when everything is. What each answers depends on the samples alone, never on when it was asked.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { tallied, type CallTally } from '../call-tally.ts';
import type { Communicator } from '../contracts/communicator.ts';
import type { Judgement } from '../contracts/hooks.ts';
import type { NamedReward } from '../contracts/recipe.ts';
import type { Sample, Score } from '../contracts/reward.ts';
import { ReasongenError } from '../errors.ts';
import { askReward, isNoVerdict, isScore, placeOf, reasonOfFailure, type CheckedAnswer } from './ask-reward.ts';
import { gatherPacked } from '../ranks/packed.ts';
import { single } from '../ranks/single.ts';
import { isTrainedOn, totalOf } from './combine.ts';
import { mean } from './statistics.ts';
import { backoffSeconds } from '../try-again.ts';

/** What one reward said of some of the samples. */
interface Column {
  readonly answers: readonly CheckedAnswer[];
  readonly hasFailed: boolean;
  readonly seconds: number;
  readonly tally: CallTally;
}

/** How long a reward took for the samples, and how many of the questions it asked were answered already. */
export interface RewardEffort {
  readonly name: string;
  /** Of all its shares together, which may have been judged side by side. */
  readonly seconds: number;
  readonly questions: number;
  readonly kept: number;
}

export interface ScoringOptions {
  readonly rewards: readonly NamedReward[];
  readonly signal: AbortSignal;
  /** Nothing is judged before everything is drawn. */
  readonly waits?: boolean;
  /** Told of a failure that the preset allows. */
  readonly warn?: ((message: string) => void) | undefined;
}

/** The samples of all ranks, of which each has added its own. */
export interface AllSamples {
  readonly samples: readonly Sample[];
  readonly communicator: Communicator;
}

export class Scoring {
  readonly #options: ScoringOptions;
  readonly #shares: (readonly Sample[])[] = [];
  readonly #columns: Promise<Column>[][];
  readonly #failed = new AbortController();
  readonly #signal: AbortSignal;
  #efforts: readonly RewardEffort[] = [];
  #begun: number | undefined;

  constructor(options: ScoringOptions) {
    this.#options = options;
    this.#columns = options.rewards.map(() => []);
    this.#signal = AbortSignal.any([options.signal, this.#failed.signal]);
  }

  /** Samples whose groups are whole. `share`: their place among the shares, which may come in any order. */
  add(samples: readonly Sample[], share = this.#shares.length): void {
    // What was begun before something failed may still come.
    if (this.#failed.signal.aborted) return;
    this.#shares[share] = samples;
    this.#options.rewards.forEach((named, index) => {
      if (!this.#waits(named)) this.#ask(index, named, samples, share);
    });
  }

  /** Throws at once what a reward has failed with while the others are still at work. */
  throwIfFailed(): void {
    this.#failed.signal.throwIfAborted();
  }

  /** Nobody wants the judgements any more. */
  abandon(reason: unknown): void {
    this.#failed.abort(reason);
  }

  /**
   * The judgements of all samples, in the order of their shares. Throws what a reward failed with; then the others are told to stop. Over ranks each
   * has added a share of `all.samples`, rank by rank: what its rewards say of them is put together, and the first one asks those that see everything.
   */
  async finish(all: AllSamples = { samples: this.#shares.flat(), communicator: single }): Promise<Judgement[]> {
    const { rewards } = this.#options;
    const { samples, communicator } = all;
    rewards.forEach((named, index) => {
      if (seesAll(named)) {
        if (communicator.rank === 0) this.#ask(index, named, samples, 0);
      } else if (this.#waits(named)) this.#ask(index, named, this.#shares.flat(), 0);
    });
    const own = await Promise.all(this.#columns.map((shares) => Promise.all(shares)));
    const ranks = await gatherPacked(communicator, own);
    const columns = rewards.map((_, index) => ranks.flatMap((rank) => rank[index] ?? []));
    this.#efforts = columns.map((shares, index) => ({
      name: rewards[index]?.name ?? '',
      seconds: shares.reduce((sum, { seconds }) => sum + seconds, 0),
      questions: shares.reduce((sum, { tally }) => sum + tally.questions, 0),
      kept: shares.reduce((sum, { tally }) => sum + tally.kept, 0),
    }));
    const table = columns.map((shares) =>
      // What is undefined here is null where it has come from another rank.
      shares.flatMap(({ answers, hasFailed }) => answers.map((answer) => ({ answer: answer ?? undefined, hasFailed }))),
    );
    return judgementsOf(rewards, samples, table);
  }

  /** Of every reward, once all is judged. */
  get efforts(): readonly RewardEffort[] {
    return this.#efforts;
  }

  /** When the first reward was asked, as `performance.now()` tells; undefined before. */
  get begun(): number | undefined {
    return this.#begun;
  }

  #waits(named: NamedReward): boolean {
    return this.#options.waits === true || seesAll(named);
  }

  #ask(index: number, named: NamedReward, samples: readonly Sample[], share: number): void {
    this.#begun ??= performance.now();
    const asked = this.#askInTime(named, samples);
    // The first failure ends the others; whoever finishes is told of it.
    asked.catch((error: unknown) => this.#failed.abort(error));
    const column = this.#columns[index];
    if (column !== undefined) column[share] = asked;
  }

  async #askInTime(named: NamedReward, samples: readonly Sample[]): Promise<Column> {
    const started = performance.now();
    const { value, tally } = await tallied(() => answersOf(named, samples, this.#signal, this.#options.warn));
    return { ...value, tally, seconds: (performance.now() - started) / 1000 };
  }
}

function seesAll({ reward }: NamedReward): boolean {
  return (reward.sees ?? 'batch') === 'batch';
}

/** What one reward says, or that it failed where the preset allows it. */
async function answersOf(
  named: NamedReward,
  samples: readonly Sample[],
  signal: AbortSignal,
  warn: (message: string) => void = () => {},
): Promise<Pick<Column, 'answers' | 'hasFailed'>> {
  const { onError = 'fail', retries = 0 } = named;
  for (let attempt = 0; ; attempt++) {
    try {
      return { answers: await askReward(named, samples, signal), hasFailed: false };
    } catch (error) {
      signal.throwIfAborted();
      if (attempt < retries && !isFinal(error)) {
        const seconds = backoffSeconds(attempt, Math.random(), { first: 0.5, longest: 30 });
        warn(`${placeOf(named)} failed and is asked again in ${seconds.toFixed(1)} s: ${reasonOfFailure(error)}`);
        await wait(seconds * 1000, undefined, { signal });
        continue;
      }
      if (onError === 'fail' || isSpent(error)) throw error;
      const what = onError === 'drop' ? 'the samples are left out of this step' : 'the total is made without it';
      warn(`${placeOf(named)} failed, ${what}: ${reasonOfFailure(error)}`);
      return { answers: samples.map(() => undefined), hasFailed: true };
    }
  }
}

/** Calls have been made again as often as the preset wants, or cannot be made any more. */
function isFinal(error: unknown): boolean {
  return error instanceof ReasongenError && ['JUDGE_UNREACHABLE', 'JUDGE_REFUSED', 'BUDGET_SPENT'].includes(error.code);
}

/** Every later step would fail alike. */
function isSpent(error: unknown): boolean {
  return error instanceof ReasongenError && error.code === 'BUDGET_SPENT';
}

type Table = readonly (readonly { readonly answer: CheckedAnswer; readonly hasFailed: boolean }[])[];

function judgementsOf(rewards: readonly NamedReward[], samples: readonly Sample[], table: Table): Judgement[] {
  return samples.map((sample, index): Judgement => {
    const scores: Record<string, Score> = {};
    const withoutVerdict: Record<string, string> = {};
    const failed: string[] = [];
    let isDropped = false;
    const values = rewards.map((named, column) => {
      const { answer, hasFailed = false } = table[column]?.[index] ?? {};
      if (hasFailed) failed.push(named.name);
      if (hasFailed && named.onError === 'drop' && isTrainedOn(named)) isDropped = true;
      if (!isNoVerdict(answer)) {
        if (answer !== undefined) scores[named.name] = answer;
        return answer?.value;
      }
      withoutVerdict[named.name] = answer.noVerdict;
      const value = standIn(named, sample, answer.noVerdict, samples, table[column] ?? []);
      if (value === undefined && isTrainedOn(named)) isDropped = true;
      return value;
    });
    const total = totalOf(rewards, values);
    if (total !== undefined && !isScore(total))
      throw new ReasongenError({
        code: 'BAD_SCORES',
        message: `the total for the drawing of "${sample.prompt}" is ${total}: with these weights the scores go beyond what numbers hold`,
        hint: 'let rewards be about 0 to 1, and lower their weights',
      });
    const isUnjudged = rewards.some(isTrainedOn) && (isDropped || total === undefined);
    return {
      total: total ?? 0,
      scores,
      ...(Object.keys(withoutVerdict).length > 0 && { withoutVerdict }),
      ...(failed.length > 0 && { failed }),
      ...(isUnjudged && { unjudged: true as const }),
    };
  });
}

/** What stands for the verdict that a sample lacks: nothing, or the mean of those on its group. */
function standIn(
  named: NamedReward,
  { group, prompt }: Sample,
  why: string,
  samples: readonly Sample[],
  column: Table[number],
): number | undefined {
  const { onNoVerdict = 'drop' } = named;
  if (onNoVerdict === 'fail' && isTrainedOn(named))
    throw new ReasongenError({
      code: 'NO_VERDICT',
      message: `it has no verdict on the drawing of "${prompt}": ${why}`,
      place: placeOf(named),
      hint: 'mend the judge and resume the run, or let such drawings be left out: onNoVerdict: drop',
    });
  if (onNoVerdict !== 'group-mean') return undefined;
  const others = samples.flatMap((sample, index) => {
    const answer = column[index]?.answer;
    return sample.group === group && answer !== undefined && !isNoVerdict(answer) ? [answer.value] : [];
  });
  return others.length === 0 ? undefined : mean(others);
}
