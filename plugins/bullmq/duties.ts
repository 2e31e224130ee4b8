/** What a worker does with the jobs of its queues: it draws, or has a component answer. */
import {
  oneLine,
  reasonOf,
  ReasongenError,
  type AnswerService,
  type DrawService,
  type Log,
} from '../../core/plugin.ts';
import { FolderBlobs, RedisBlobs, type BlobStore } from './blobs.ts';
import { mayPass } from './connection.ts';
import type { Job, QueueLibrary, Redis } from './library.ts';
import type { BullmqOptions } from './options.ts';
import {
  answerJobSchema,
  answerQueueName,
  drawJobSchema,
  drawQueueName,
  ofAnyAdapter,
  sentSequence,
  type AnswerResult,
  type SentResult,
} from './protocol.ts';
import { WeightTaker } from './weights.ts';

/** Failures that any other worker would meet as well: the run meets them itself. */
const everywhere: readonly string[] = ['SAMPLE_NOT_FINITE', 'PROMPT_TOO_LONG', 'RATIONALE_TOO_LONG'];

/** A queue that a worker serves. */
export interface Duty {
  readonly queue: string;
  /** Jobs at a time. */
  readonly atOnce: number;
  readonly work: (job: Job) => Promise<SentResult | AnswerResult>;
}

export interface DutyOptions {
  readonly library: QueueLibrary;
  readonly redis: Redis;
  readonly choice: BullmqOptions;
  readonly log: Log;
  /** Of the worker. */
  readonly name: string;
  /** The worker ends, after a failure that any further job would meet. */
  readonly fail: (error: unknown) => void;
}

/** The device draws one job at a time, for runs that take its bits and for those that take any. */
export function drawingDuties(service: DrawService, options: DutyOptions): Duty[] {
  const { library, redis, choice, log, name, fail } = options;
  const taker = new WeightTaker(service);
  const blobsOf = (run: string): BlobStore =>
    choice.weights === undefined ? new RedisBlobs(redis, run) : new FolderBlobs(choice.weights, run);
  const work = async (job: Job): Promise<SentResult> => {
    const parsed = drawJobSchema.safeParse(job.data);
    if (!parsed.success) throw notOurs(job, parsed.error.issues[0]?.message, options);
    const { run, weights, route, sizes, request } = parsed.data;
    const own = choice.weights === undefined ? 'redis' : 'directory';
    if (route !== own) return { worker: name, missingWeights: otherRoute(route) };
    try {
      const missing = await taker.take(weights, blobsOf(run));
      if (missing !== undefined) return { worker: name, missingWeights: missing };
      const sequences = await service.draw(sizes, request as Parameters<DrawService['draw']>[1]);
      return { worker: name, adapter: service.identity.adapter, sequences: sequences.map(sentSequence) };
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
  let before: Promise<unknown> = Promise.resolve();
  const inTurn = (job: Job): Promise<SentResult> => {
    const working = before.then(() => work(job));
    before = working.catch(() => undefined);
    return working;
  };
  return [service.identity, ofAnyAdapter(service.identity)].map((identity) => ({
    queue: drawQueueName(identity),
    atOnce: 1,
    work: inTurn,
  }));
}

export function answeringDuty(service: AnswerService, options: DutyOptions): Duty {
  // A job that was begun is finished, also by a worker that has been told to end.
  const { signal } = new AbortController();
  const work = async (job: Job): Promise<AnswerResult> => {
    const parsed = answerJobSchema.safeParse(job.data);
    if (!parsed.success) throw notOurs(job, parsed.error.issues[0]?.message, options);
    return { worker: options.name, answer: await service.answer(parsed.data.question, signal) };
  };
  return { queue: answerQueueName(service.identity), atOnce: service.atOnce, work };
}

function notOurs(job: Job, issue = 'of another form', { library, log }: DutyOptions): Error {
  const why = oneLine(issue, 120);
  log.warn(`job ${oneLine(String(job.id), 80)} is not one of ours: ${why}; it is not done`);
  return new library.bullmq.UnrecoverableError(`no job of this program: ${why}`);
}

function otherRoute(route: string): string {
  return `this worker looks elsewhere for weights than the run puts them (${route}): both need the same executor.weights`;
}
