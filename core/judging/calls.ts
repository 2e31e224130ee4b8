/**
 * How calls to a judge are made, whoever wrote it: a few at a time, so many in a minute, each within a time, again after a failure that may
 * pass, never while the other side wants to be left alone, within a budget; equal questions once, and what was answered is kept.
 */
import { setMaxListeners } from 'node:events';
import { countKept, countQuestion, countTokens } from '../call-tally.ts';
import type { Calls, Question } from '../contracts/calls.ts';
import type { CallSettings } from '../contracts/preset.ts';
import { exitCodes, ReasongenError } from '../errors.ts';
import type { Log } from '../log.ts';
import { backoffSeconds, TryAgainError } from '../try-again.ts';
import { AnswerCache, answersName } from './answer-cache.ts';
import { Breaker } from './breaker.ts';
import { systemClock, unlessAborted, type Clock } from './clock.ts';
import { Flights } from './flights.ts';
import { questionKey } from './question-key.ts';
import { Pace, Turns } from './turns.ts';

/** What the runtime does where a preset says nothing. */
const usual = { atOnce: 8, timeout: 120, retries: 7 };

/** Seconds between two attempts at most, unless the other side says more. */
const longestPause = 60;
/** Seconds the other side may ask to be left alone. */
const longestWish = 600;
/** Where nobody has ever answered, the address is more likely wrong than the other side busy. */
const attemptsAtNobody = 3;

export interface CallsOptions {
  readonly settings: CallSettings;
  /** Who calls, for messages: `judge "seer"`. */
  readonly who: string;
  readonly log: Pick<Log, 'warn'>;
  /** Where answers are kept; undefined for nowhere. */
  readonly folder: string | undefined;
  /** The component, as files of its answers are called. */
  readonly component: string;
  readonly clock?: Clock;
  /** Somebody else sees to times, repetitions and budgets: calls are made as they come, once. */
  readonly isSeenToElsewhere?: boolean;
}

export class PolicedCalls implements Calls {
  private readonly options: CallsOptions;
  private readonly clock: Clock;
  private readonly turns: Turns;
  private readonly pace: Pace;
  private readonly breaker: Breaker;
  private readonly flights = new Flights<unknown>();
  /** By the name of the file; those that cannot be opened are undefined. */
  private readonly caches = new Map<string, Promise<AnswerCache | undefined>>();
  private hasAnswered = false;
  private requests = 0;
  private tokens = 0;

  constructor(options: CallsOptions) {
    this.options = options;
    const { settings, who, log, clock = systemClock } = options;
    this.clock = clock;
    this.turns = new Turns(settings.atOnce ?? usual.atOnce);
    this.pace = new Pace(settings.perMinute, clock);
    this.breaker = new Breaker(clock, (message) => log.warn(`${who}: ${message}`));
  }

  async run<Answer>(
    work: (signal: AbortSignal) => Promise<Answer>,
    signal: AbortSignal,
    question?: Question,
  ): Promise<Answer> {
    countQuestion();
    // Every question listens to the same signal.
    setMaxListeners(0, signal);
    if (question === undefined) return this.call(work, signal);
    const key = questionKey(question);
    if (this.flights.isUnderWay(key)) countKept();
    // The key holds what the answer depends on, and so its type.
    const start = (inner: AbortSignal): Promise<unknown> => this.keptOrCalled(question, key, work, inner);
    return (await this.flights.join(key, start, signal)) as Answer;
  }

  spend(tokens: number): void {
    this.tokens += tokens;
    countTokens(tokens);
  }

  async close(): Promise<void> {
    await Promise.all([...this.caches.values()].map(async (cache) => (await cache)?.close()));
  }

  private async keptOrCalled<Answer>(
    { fingerprint }: Question,
    key: string,
    work: (signal: AbortSignal) => Promise<Answer>,
    signal: AbortSignal,
  ): Promise<unknown> {
    const cache = await this.cacheOf(fingerprint);
    const kept = await cache?.get(key);
    if (kept !== undefined) {
      countKept();
      return kept.value;
    }
    const answer = await this.call(work, signal);
    await cache?.put(key, answer);
    return answer;
  }

  /** What cannot be kept is asked again another time; no reason to end a run. */
  private cacheOf(fingerprint: Question['fingerprint']): Promise<AnswerCache | undefined> {
    const { component, folder } = this.options;
    if (folder === undefined) return Promise.resolve(undefined);
    const name = answersName(component, fingerprint);
    const cache = this.caches.get(name) ?? this.openCache(folder, name);
    this.caches.set(name, cache);
    return cache;
  }

  private async openCache(folder: string, name: string): Promise<AnswerCache | undefined> {
    const { who, log } = this.options;
    try {
      return await AnswerCache.open(folder, name, (message) => log.warn(`${who}: ${message}`));
    } catch (error) {
      if (!(error instanceof ReasongenError)) throw error;
      log.warn(`answers of ${who} are not kept: ${error.message} (${error.place})`);
      return undefined;
    }
  }

  private async call<Answer>(work: (signal: AbortSignal) => Promise<Answer>, signal: AbortSignal): Promise<Answer> {
    if (this.options.isSeenToElsewhere === true) return work(signal);
    const start = this.clock.now();
    for (let attempt = 1; ; attempt++) {
      const giveBack = await this.turns.take(signal);
      let failure: TryAgainError;
      try {
        await this.permission(signal);
        return await this.attempt(work, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof TryAgainError)) throw error;
        failure = error;
      } finally {
        giveBack();
      }
      if (this.isHopeless(failure, attempt)) throw this.unreachable(failure, attempt, this.clock.now() - start);
      if (failure.seconds === undefined) await this.clock.wait(this.pauseAfter(attempt), signal);
    }
  }

  /** Waits until neither breaker nor pace forbids a call; no wait comes between that and the call. */
  private async permission(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.breaker.ready(signal);
      const delay = this.pace.delay();
      if (delay === 0) break;
      await this.clock.wait(delay, signal);
    }
    this.refuseOverspending();
    this.pace.begin();
    this.requests += 1;
  }

  private async attempt<Answer>(work: (signal: AbortSignal) => Promise<Answer>, signal: AbortSignal): Promise<Answer> {
    const end = this.breaker.begin();
    try {
      const answer = await this.inTime(work, signal);
      this.hasAnswered = true;
      end();
      return answer;
    } catch (error) {
      end(error instanceof TryAgainError && !signal.aborted ? error : undefined);
      throw error;
    }
  }

  private async inTime<Answer>(work: (signal: AbortSignal) => Promise<Answer>, signal: AbortSignal): Promise<Answer> {
    const { timeout = usual.timeout } = this.options.settings;
    const late = new AbortController();
    const done = new AbortController();
    const message = `gave no answer within ${timeout} s`;
    this.clock.wait(timeout * 1000, done.signal).then(
      () => late.abort(new TryAgainError(message)),
      () => undefined,
    );
    const either = AbortSignal.any([signal, late.signal]);
    try {
      return await unlessAborted(work(either), either);
    } catch (error) {
      // However the work put it.
      if (late.signal.aborted && !signal.aborted) throw late.signal.reason;
      throw error;
    } finally {
      done.abort();
    }
  }

  /** Milliseconds. */
  private pauseAfter(attempt: number): number {
    return backoffSeconds(attempt - 1, this.clock.chance(), { longest: longestPause }) * 1000;
  }

  private isHopeless({ isUnreachable, seconds = 0 }: TryAgainError, attempt: number): boolean {
    const most = (this.options.settings.retries ?? usual.retries) + 1;
    const limit = isUnreachable && !this.hasAnswered ? Math.min(attemptsAtNobody, most) : most;
    return attempt >= limit || seconds > longestWish;
  }

  private unreachable(failure: TryAgainError, attempt: number, milliseconds: number): ReasongenError {
    const { who } = this.options;
    return new ReasongenError({
      code: 'JUDGE_UNREACHABLE',
      message: `${who} could not be asked in ${attempt} attempt${attempt === 1 ? '' : 's'} within ${Math.ceil(milliseconds / 1000)} s: ${saidBy(failure)}`,
      place: failure.place,
      hint: failure.isUnreachable
        ? 'start the endpoint, check url, and resume the run'
        : 'wait until it answers, or let it be asked less at once (atOnce) or more often (retries), and resume the run: what was answered is kept',
      cause: failure,
    });
  }

  private refuseOverspending(): void {
    const { settings, who } = this.options;
    const { requests = Number.POSITIVE_INFINITY, tokens = Number.POSITIVE_INFINITY } = settings.budget ?? {};
    if (this.requests < requests && this.tokens < tokens) return;
    const spent = this.requests < requests ? `${this.tokens} tokens of ${tokens}` : `${requests} requests`;
    throw new ReasongenError({
      code: 'BUDGET_SPENT',
      message: `${spent} are spent, which is the budget of a session`,
      place: who,
      hint: 'resume the run to spend as much again, or raise its `budget`; what was answered is kept',
      exitCode: exitCodes.guard,
    });
  }
}

function saidBy({ isUnreachable, message }: TryAgainError): string {
  return isUnreachable ? `cannot be reached: ${message}` : message;
}
