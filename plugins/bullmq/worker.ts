/** A worker: takes jobs one after the other until it is told to end. */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { oneLine, reasonOf, ReasongenError, type DrawService, type Log } from '../../core/plugin.ts';
import { FolderBlobs, RedisBlobs, type BlobStore } from './blobs.ts';
import { connect, mayPass, probe, type QueueAddress } from './connection.ts';
import type { Job, QueueLibrary } from './library.ts';
import type { BullmqOptions } from './options.ts';
import { pause } from './patience.ts';
import { drawJobSchema, drawQueueName, sentSequence, type SentResult } from './protocol.ts';
import { beatSeconds, giveSign, leaveRegistry, refusalOf } from './registry.ts';
import { WeightTaker } from './weights.ts';

/** Failures that any other worker would meet as well: the run meets them itself. */
const everywhere: readonly string[] = ['SAMPLE_NOT_FINITE', 'PROMPT_TOO_LONG', 'RATIONALE_TOO_LONG'];

export interface ServeOptions {
  readonly library: QueueLibrary;
  readonly address: QueueAddress;
  readonly choice: BullmqOptions;
  readonly service: DrawService;
  /** Verdict of the self-check. */
  readonly check: string;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Serves until the signal; the job at hand is finished. Throws WORKER_REFUSED, and what makes the device unusable. */
export async function serveQueue(options: ServeOptions): Promise<void> {
  const { library, address, choice, service, check, log, signal } = options;
  await probe(library, address);
  const name = `${hostname()
    .replaceAll(/[^\w.-]+/g, '-')
    .slice(0, 60)}-${process.pid}-${randomBytes(2).toString('hex')}`;
  const redis = connect(library, address, 'waits');
  const taker = new WeightTaker(service);
  const ended = new AbortController();
  let failure: unknown;
  let jobs = 0;
  const fail = (error: unknown): void => {
    failure ??= error;
    ended.abort();
  };
  const blobsOf = (run: string): BlobStore =>
    choice.weights === undefined ? new RedisBlobs(redis, run) : new FolderBlobs(choice.weights, run);

  const work = async (job: Job): Promise<SentResult> => {
    const parsed = drawJobSchema.safeParse(job.data);
    if (!parsed.success) {
      const why = oneLine(parsed.error.issues[0]?.message ?? 'of another form', 120);
      log.warn(`job ${oneLine(String(job.id), 80)} is not one of ours: ${why}; it is not done`);
      throw new library.bullmq.UnrecoverableError(`no job of this program: ${why}`);
    }
    const { run, weights, route, sizes, request } = parsed.data;
    const own = choice.weights === undefined ? 'redis' : 'directory';
    if (route !== own) return { worker: name, missingWeights: otherRoute(route) };
    try {
      const missing = await taker.take(weights, blobsOf(run));
      if (missing !== undefined) return { worker: name, missingWeights: missing };
      const sequences = await service.draw(sizes, request as Parameters<DrawService['draw']>[1]);
      jobs += 1;
      return { worker: name, sequences: sequences.map(sentSequence) };
    } catch (error) {
      if (error instanceof ReasongenError && everywhere.includes(error.code))
        return { worker: name, fails: error.code };
      if (mayPass(error)) throw error;
      // A device that is lost or full does no further job: this one is another worker's.
      if (error instanceof ReasongenError && error.code !== 'BAD_WEIGHT_LIST') {
        fail(error);
        throw error;
      }
      log.warn(`job ${job.id} cannot be done: ${oneLine(reasonOf(error), 200)}`);
      throw new library.bullmq.UnrecoverableError(reasonOf(error));
    }
  };

  const worker = new library.bullmq.Worker(drawQueueName(service.identity), work, {
    connection: redis,
    concurrency: 1,
    lockDuration: choice.lockSeconds * 1000,
    stalledInterval: choice.lockSeconds * 500,
    maxStalledCount: choice.deaths,
  });
  worker.on('error', (error) => {
    if (!mayPass(error)) log.warn(`the queue says: ${oneLine(reasonOf(error), 200)}`);
  });
  const began = performance.now();
  const beat = async (): Promise<void> => {
    const seconds = Math.round((performance.now() - began) / 1000);
    await giveSign(redis, name, {
      identity: service.identity,
      host: hostname(),
      pid: process.pid,
      check,
      seconds,
      jobs,
    });
    const why = await refusalOf(redis, name);
    if (why !== undefined) fail(workerRefused(name, why));
  };
  const told = (): void => ended.abort();
  signal.addEventListener('abort', told);
  try {
    log.info(
      `worker ${name} serves the queue of ${address.variable}: ${service.identity.model} on ${service.identity.adapter}; self-check: ${check}`,
    );
    while (!ended.signal.aborted && !signal.aborted) {
      await beat().catch((error: unknown) => {
        if (!mayPass(error)) throw error;
      });
      await pause(beatSeconds * 1000, ended.signal);
    }
  } finally {
    signal.removeEventListener('abort', told);
    // Waits for the job at hand, unless Redis is away: then nobody could be told of it.
    await worker.close(redis.status !== 'ready');
    if (redis.status === 'ready') await leaveRegistry(redis, name).catch(() => undefined);
    redis.disconnect();
  }
  log.info(`worker ${name} has done ${jobs} jobs`);
  if (failure !== undefined) throw failure as Error;
}

function otherRoute(route: string): string {
  return `this worker looks elsewhere for weights than the run puts them (${route}): both need the same executor.weights`;
}

function workerRefused(name: string, why: string): ReasongenError {
  return new ReasongenError({
    code: 'WORKER_REFUSED',
    message: `a run takes nothing of this worker any more: ${why}`,
    place: name,
    hint: 'check this machine: npx reasongen verify-device; then start the worker again',
  });
}
