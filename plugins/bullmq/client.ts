/** A run's connection to a queue: jobs go out, results are waited for, and whoever keeps the run waiting is told of. */
import { oneLine, ReasongenError, type Log, type WorkerReport } from '../../core/plugin.ts';
import { connect, explainQueue, mayPass, probe, type QueueAddress } from './connection.ts';
import type { Queue, QueueEvents, QueueLibrary, Redis } from './library.ts';
import type { BullmqOptions } from './options.ts';
import { Patience, pause } from './patience.ts';
import { readRegistry, refuseWorker } from './registry.ts';

export interface QueueClientOptions<Result> {
  readonly library: QueueLibrary;
  readonly address: QueueAddress;
  readonly choice: BullmqOptions;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Its name. */
  readonly queue: string;
  /** What a worker has returned, whatever it is. */
  readonly read: (value: unknown) => Result;
  /** Why none of these workers will do a job, in words; undefined where one will. */
  readonly lack: (workers: readonly WorkerReport[]) => string | undefined;
}

interface Waiting<Result> {
  readonly job: object;
  readonly resolve: (result: Result) => void;
  readonly reject: (reason: unknown) => void;
}

/** Milliseconds between two looks at what no event has told of, and at who is there. */
const lookEvery = 2000;

/** Seconds that BullMQ keeps what is done: a run that is killed finds it when it is resumed. */
const keptSeconds = 3600;

export class QueueClient<Result> {
  private readonly options: QueueClientOptions<Result>;
  private readonly redis: Redis;
  private readonly queue: Queue;
  private readonly events: QueueEvents;
  private readonly eventsRedis: Redis;
  private readonly patience: Patience;
  private readonly waiting = new Map<string, Waiting<Result>>();
  private readonly refused = new Set<string>();
  private readonly closed = new AbortController();
  /** Since when there has been nobody to do a job. */
  private workersAway: number | undefined;
  private readonly watching: Promise<void>;

  private constructor(options: QueueClientOptions<Result>, redis: Redis) {
    const { library, address, choice, log, signal, queue } = options;
    this.options = options;
    this.redis = redis;
    this.patience = new Patience({
      seconds: choice.patience,
      log,
      mayPass,
      signal,
      explain: (error) => explainQueue(error, address),
    });
    this.queue = new library.bullmq.Queue(queue, { connection: redis });
    this.eventsRedis = connect(library, address, 'waits');
    this.events = new library.bullmq.QueueEvents(queue, { connection: this.eventsRedis });
    const ignore = (): void => {
      // Told by what was asked, and by the watch.
    };
    this.queue.on('error', ignore);
    this.events.on('error', ignore);
    this.events.on('completed', ({ jobId }) => void this.lookAt(jobId));
    this.events.on('failed', ({ jobId }) => void this.lookAt(jobId));
    this.watching = this.watch();
  }

  /** Throws what keeps it from being used: QUEUE_AWAY, QUEUE_LOGIN, QUEUE_TROUBLE. */
  static async open<Result>(options: QueueClientOptions<Result>): Promise<QueueClient<Result>> {
    const { library, address, log } = options;
    const { limit, policy } = await probe(library, address);
    if (limit > 0 && policy !== 'noeviction')
      log.warn(
        `Redis throws away what it has no room for (maxmemory-policy ${policy}): the run survives that and waits for what was lost; set it to noeviction`,
      );
    const redis = connect(library, address, 'asks');
    if (redis.status !== 'ready') await new Promise<void>((resolve) => redis.once('ready', () => resolve()));
    return new QueueClient(options, redis);
  }

  /** For what is kept beside the jobs. */
  get connection(): Redis {
    return this.redis;
  }

  /** Does what may be done more than once, again and again while Redis is away or full, for as long as the preset says. */
  patiently<Value>(work: () => Promise<Value>): Promise<Value> {
    return this.patience.with(work);
  }

  /**
   * Puts a job into the queue, unless it is there, and waits for its result. Throws POISONED_JOB, NO_WORKERS, what Redis says, and the reason of
   * the signal: then nobody wants the result any more.
   */
  async result(id: string, job: object, signal?: AbortSignal): Promise<Result> {
    await this.add(id, job);
    const giveUp = (): void => {
      this.waiting.get(id)?.reject(signal?.reason);
      this.waiting.delete(id);
      // A job that a worker has taken cannot be taken back.
      this.queue.remove(id).catch(() => undefined);
    };
    try {
      return await new Promise((resolve, reject) => {
        this.waiting.set(id, { job, resolve, reject });
        if (signal?.aborted === true) giveUp();
        signal?.addEventListener('abort', giveUp);
        // It may have been done before: by an earlier session of the run, or before this line.
        void this.lookAt(id);
      });
    } finally {
      signal?.removeEventListener('abort', giveUp);
    }
  }

  isRefused(worker: string): boolean {
    return this.refused.has(worker);
  }

  async refuse(worker: string, why: string): Promise<void> {
    this.refused.add(worker);
    await this.patiently(() => refuseWorker(this.redis, worker, why));
  }

  async close(): Promise<void> {
    this.closed.abort();
    await this.watching;
    const isThere = this.redis.status === 'ready';
    if (isThere) await Promise.allSettled([this.queue.close(), this.events.close()]);
    this.redis.disconnect();
    this.eventsRedis.disconnect();
  }

  private async add(id: string, job: object): Promise<void> {
    const { deaths } = this.options.choice;
    await this.patiently(() =>
      this.queue.add('job', job, {
        jobId: id,
        attempts: deaths + 1,
        removeOnComplete: { age: keptSeconds },
        removeOnFail: { age: keptSeconds },
      }),
    );
  }

  /** Settles what is waited for when it is done; puts a job that Redis has lost into the queue again. */
  private async lookAt(id: string): Promise<void> {
    const waiting = this.waiting.get(id);
    if (waiting === undefined) return;
    try {
      // Before the job: one that was read while it was worked on has no result yet.
      const state = await this.queue.getJobState(id);
      const isDone = state === 'completed' || state === 'failed';
      if (!isDone && state !== 'unknown') return;
      const found = isDone ? await this.queue.getJob(id) : undefined;
      if (found === undefined) {
        if (this.waiting.has(id)) await this.add(id, waiting.job);
        return;
      }
      if (!this.waiting.delete(id)) return;
      // Whoever did it is there, whether or not anybody has looked.
      this.workersAway = undefined;
      if (state === 'failed') waiting.reject(poisoned(id, found.failedReason, this.options.address.variable));
      else waiting.resolve(this.options.read(found.returnvalue));
      // Read once, and not found again by a resumed run whose worker is another.
      await found.remove().catch(() => undefined);
    } catch (error) {
      // What passes is looked for again.
      if (mayPass(error)) return;
      this.waiting.delete(id);
      waiting.reject(explainQueue(error, this.options.address));
    }
  }

  /** Looks for what no event has told of, and ends a wait that takes too long. */
  private async watch(): Promise<void> {
    const { choice, signal, log, address, library, lack } = this.options;
    const over = AbortSignal.any([signal, this.closed.signal]);
    let queueAway: number | undefined;
    const isTooLong = (since: number): boolean => performance.now() - since > choice.patience * 1000;
    while (!over.aborted) {
      await pause(lookEvery, over);
      if (this.waiting.size === 0 || over.aborted) {
        queueAway = undefined;
        continue;
      }
      if (this.redis.status !== 'ready') {
        if (queueAway === undefined) log.warn(`the queue is away; waiting for at most ${choice.patience} s`);
        queueAway ??= performance.now();
        if (isTooLong(queueAway)) await probe(library, address).catch((error: unknown) => this.giveUp(error));
        continue;
      }
      if (queueAway !== undefined) log.info('the queue is back');
      queueAway = undefined;
      await Promise.all([...this.waiting.keys()].map((id) => this.lookAt(id)));
      const workers = await readRegistry(this.redis).catch(() => undefined);
      if (workers === undefined) continue;
      for (const { name, refused } of workers) if (refused !== undefined) this.refused.add(name);
      const others = workers.filter(({ name, refused }) => refused === undefined && !this.refused.has(name));
      const missing = lack(others);
      if (missing === undefined) {
        if (this.workersAway !== undefined) log.info('a worker is there');
        this.workersAway = undefined;
        continue;
      }
      const why = noWorkers(missing, address.variable);
      if (this.workersAway === undefined && this.waiting.size > 0)
        log.warn(`${why.message}; waiting for at most ${choice.patience} s`);
      this.workersAway ??= performance.now();
      if (isTooLong(this.workersAway)) this.giveUp(why);
    }
    if (signal.aborted) this.giveUp(signal.reason);
  }

  private giveUp(reason: unknown): void {
    for (const { reject } of this.waiting.values()) reject(reason);
    this.waiting.clear();
  }
}

function poisoned(id: string, reason: string, place: string): ReasongenError {
  return new ReasongenError({
    code: 'POISONED_JOB',
    message: /stalled/.test(reason)
      ? `every worker that took the job ${id} ended over it, without a word`
      : `the job ${id} cannot be done: ${oneLine(reason, 300)}`,
    place,
    hint: 'look at what the workers say, mend it, then resume; executor=in-process draws without them',
  });
}

function noWorkers(message: string, place: string): ReasongenError {
  return new ReasongenError({
    code: 'NO_WORKERS',
    message,
    place,
    hint: 'start one with this preset: npx reasongen worker PRESET; `npx reasongen workers PRESET` lists those there are',
  });
}
