/** A worker: takes jobs of its queues until it is told to end. */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { oneLine, reasonOf, ReasongenError, type Log, type WorkerOffer } from '../../core/plugin.ts';
import { connect, mayPass, probe, type QueueAddress } from './connection.ts';
import { answeringDuty, drawingDuties, type Duty, type DutyOptions } from './duties.ts';
import type { QueueLibrary, Redis, Worker } from './library.ts';
import type { BullmqOptions } from './options.ts';
import { pause } from './patience.ts';
import { beatSeconds, giveSign, leaveRegistry, refusalOf, type SignOfLife } from './registry.ts';

export interface ServeOptions {
  readonly library: QueueLibrary;
  readonly address: QueueAddress;
  readonly choice: BullmqOptions;
  readonly offer: WorkerOffer;
  /** Verdict of the self-check. */
  readonly check: string;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Serves until the signal; jobs at hand are finished. Throws WORKER_REFUSED, and what makes the device unusable. */
export async function serveQueue(options: ServeOptions): Promise<void> {
  const { library, address, choice, offer, check, log, signal } = options;
  await probe(library, address);
  const name = `${hostname()
    .replaceAll(/[^\w.-]+/g, '-')
    .slice(0, 60)}-${process.pid}-${randomBytes(2).toString('hex')}`;
  const redis = connect(library, address, 'waits');
  const ended = new AbortController();
  let failure: unknown;
  let jobs = 0;
  const fail = (error: unknown): void => {
    failure ??= error;
    ended.abort();
  };
  const own: DutyOptions = { library, redis, choice, log, name, fail };
  const duties = [
    ...(offer.draw === undefined ? [] : drawingDuties(offer.draw, own)),
    ...offer.answers.map((service) => answeringDuty(service, own)),
  ];
  const workers = duties.map((duty) => begin(duty, own, () => (jobs += 1)));
  const began = performance.now();
  const sign = (): SignOfLife => ({
    ...programOf(offer),
    ...(offer.draw !== undefined && { draws: offer.draw.identity }),
    answers: offer.answers.map(({ identity }) => identity),
    host: hostname(),
    pid: process.pid,
    check,
    seconds: Math.round((performance.now() - began) / 1000),
    jobs,
  });
  const told = (): void => ended.abort();
  signal.addEventListener('abort', told);
  try {
    log.info(`worker ${name} serves the queue of ${address.variable}: ${whatItDoes(offer)}; self-check: ${check}`);
    while (!ended.signal.aborted && !signal.aborted) {
      await beat(redis, name, sign(), fail).catch((error: unknown) => {
        if (!mayPass(error)) throw error;
      });
      await pause(beatSeconds * 1000, ended.signal);
    }
  } finally {
    signal.removeEventListener('abort', told);
    // Waits for the jobs at hand, unless Redis is away: then nobody could be told of them.
    await Promise.all(workers.map((worker) => worker.close(redis.status !== 'ready')));
    if (redis.status === 'ready') await leaveRegistry(redis, name).catch(() => undefined);
    redis.disconnect();
  }
  log.info(`worker ${name} has done ${jobs} jobs`);
  if (failure !== undefined) throw failure as Error;
}

/** Jobs are counted that have a result. */
function begin({ queue, atOnce, work }: Duty, { library, redis, choice, log }: DutyOptions, count: () => void): Worker {
  const worker: Worker = new library.bullmq.Worker(
    queue,
    async (job) => {
      const result = await work(job);
      count();
      return result;
    },
    {
      connection: redis,
      concurrency: atOnce,
      lockDuration: choice.lockSeconds * 1000,
      stalledInterval: choice.lockSeconds * 500,
      maxStalledCount: choice.deaths,
    },
  );
  worker.on('error', (error) => {
    if (!mayPass(error)) log.warn(`the queue says: ${oneLine(reasonOf(error), 200)}`);
  });
  return worker;
}

async function beat(redis: Redis, name: string, sign: SignOfLife, fail: (error: unknown) => void): Promise<void> {
  await giveSign(redis, name, sign);
  const why = await refusalOf(redis, name);
  if (why !== undefined) fail(workerRefused(name, why));
}

function programOf({ draw, answers }: WorkerOffer): { readonly program: string } {
  return { program: draw?.identity.program ?? answers[0]?.identity.program ?? '' };
}

function whatItDoes({ draw, answers }: WorkerOffer): string {
  return [
    ...(draw === undefined ? [] : [`draws with ${draw.identity.model} on ${draw.identity.adapter}`]),
    ...answers.map(({ identity: { slot, name } }) => `answers for ${slot} "${name}"`),
  ].join(', ');
}

function workerRefused(name: string, why: string): ReasongenError {
  return new ReasongenError({
    code: 'WORKER_REFUSED',
    message: `a run takes nothing of this worker any more: ${why}`,
    place: name,
    hint: 'check this machine: npx reasongen verify-device; then start the worker again',
  });
}
