/** Work by workers on a queue: BullMQ on Redis. The run trains; workers draw, and every token is the one the run would have drawn; they judge what the preset leaves to them. */
import { hostname } from 'node:os';
import {
  defineExecutor,
  definePlugin,
  type DrawIdentity,
  type DrawnModel,
  type Executor,
  type Scope,
  type WorkerReport,
} from '../../core/plugin.ts';
import { QueuedQuestions } from './answers.ts';
import { FolderBlobs, RedisBlobs } from './blobs.ts';
import { QueueClient } from './client.ts';
import { connect, probe, queueAddress, type QueueAddress } from './connection.ts';
import { QueuedDrawer } from './draws.ts';
import { findQueueLibrary, loadQueueLibrary, type QueueLibrary } from './library.ts';
import { bullmqOptions, type BullmqOptions } from './options.ts';
import { bullmqPackages } from './package.ts';
import { drawQueueName, ofAnyAdapter, readDrawResult, sha256, type DrawResult } from './protocol.ts';
import { differences, isAlike, readRegistry } from './registry.ts';
import { serveQueue } from './worker.ts';
import { WeightPublisher } from './weights.ts';

export default definePlugin({
  name: 'bullmq',
  packages: bullmqPackages,
  provides: [
    defineExecutor({
      name: 'bullmq',
      summary: 'workers on a queue in Redis (bullmq) draw, bit for bit as this process would, and judge',
      options: bullmqOptions,
      create: (choice, scope) => openExecutor(choice, scope),
    }),
  ],
});

function openExecutor(choice: BullmqOptions, scope: Scope): Executor {
  const { log } = scope;
  const files = findQueueLibrary();
  const publishers = new Set<WeightPublisher>();
  let client: Promise<QueueClient<DrawResult>> | undefined;
  let questions: QueuedQuestions | undefined;
  const drawn = new Map<string, number>();
  let turn: Promise<unknown> = Promise.resolve();
  /** One after the other: what one takes back another may just be handing out. */
  const inTurn = <Value>(work: () => Promise<Value>): Promise<Value> => {
    const working = turn.then(work);
    turn = working.catch(() => undefined);
    return working;
  };
  const reach = async (): Promise<{ readonly library: QueueLibrary; readonly address: QueueAddress }> => {
    const address = queueAddress(choice.addressVariable);
    return { library: await loadQueueLibrary(files), address };
  };
  const openClient = async ({ identity, signal }: DrawnModel): Promise<QueueClient<DrawResult>> => {
    const opened = await QueueClient.open({
      ...(await reach()),
      choice,
      log,
      signal,
      queue: drawQueueName(choice.otherAdapters ? ofAnyAdapter(identity) : identity),
      read: readDrawResult,
      lack: (workers) => nobodyDraws(workers, identity, choice.otherAdapters),
    });
    if (choice.spotCheck === 0) log.warn('executor.spotCheck is 0: what workers return is believed');
    scope.onDispose(async () => {
      await opened.close();
      for (const [worker, sequences] of drawn) log.info(`worker ${worker} has drawn ${sequences} sequences`);
    });
    return opened;
  };
  return {
    mixesAdapters: choice.otherAdapters,
    open: async (model) => {
      const queue = await (client ??= openClient(model));
      const run = sha256(`${hostname()}:${model.run}`).slice(0, 16);
      const blobs =
        choice.weights === undefined ? new RedisBlobs(queue.connection, run) : new FolderBlobs(choice.weights, run);
      const publisher: WeightPublisher = new WeightPublisher(model.weights, blobs, (hash) =>
        [...publishers].some((other) => other !== publisher && other.holds(hash)),
      );
      publishers.add(publisher);
      let withdrawn: Promise<void> | undefined;
      const withdraw = (): Promise<void> => {
        publishers.delete(publisher);
        // What is left behind goes by itself after a while.
        withdrawn ??= inTurn(() => publisher.withdraw()).catch((error: unknown) =>
          log.debug(`weights were left in the queue: ${String(error)}`),
        );
        return withdrawn;
      };
      // Whoever closed a drawer has not waited for it.
      scope.onDispose(withdraw);
      const count = (worker: string, sequences: number): void =>
        void drawn.set(worker, (drawn.get(worker) ?? 0) + sequences);
      const publish = (): ReturnType<WeightPublisher['publish']> =>
        inTurn(() => queue.patiently(() => publisher.publish()));
      return new QueuedDrawer({ client: queue, count, publish, model, choice, run, log, withdraw });
    },
    ask: (identity, question, signal, check) => {
      if (questions === undefined) {
        const opened = new QueuedQuestions({ open: reach, choice, log });
        scope.onDispose(() => opened.close());
        questions = opened;
      }
      return questions.ask(identity, question, signal, check);
    },
    serve: async (offer, check, signal) => {
      await serveQueue({ ...(await reach()), choice, offer, check, log, signal });
    },
    workers: async () => {
      const { library, address } = await reach();
      await probe(library, address);
      const redis = connect(library, address, 'waits');
      try {
        return await readRegistry(redis);
      } finally {
        redis.disconnect();
      }
    },
  };
}

function nobodyDraws(
  workers: readonly WorkerReport[],
  identity: DrawIdentity,
  otherAdapters: boolean,
): string | undefined {
  const alike = (one: DrawIdentity, other: DrawIdentity): boolean =>
    otherAdapters ? isAlike(ofAnyAdapter(one), ofAnyAdapter(other)) : isAlike(one, other);
  const drawing = workers.flatMap(({ name, draws }) => (draws === undefined ? [] : [{ name, draws }]));
  if (drawing.some(({ draws }) => alike(identity, draws))) return undefined;
  const [other] = drawing;
  if (other !== undefined)
    return `no worker draws the bits of this run: ${other.name} has ${differences(identity, other.draws).join('; ')}`;
  return workers.length === 0 ? 'no worker serves the queue' : 'no worker that serves the queue draws';
}
