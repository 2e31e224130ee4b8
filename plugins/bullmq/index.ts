/** Drawings by workers on a queue: BullMQ on Redis. The run trains and judges, workers draw, and every token is the one the run would have drawn. */
import { hostname } from 'node:os';
import { defineExecutor, definePlugin, type DrawnModel, type Executor, type Scope } from '../../core/plugin.ts';
import { FolderBlobs, RedisBlobs } from './blobs.ts';
import { QueueClient } from './client.ts';
import { connect, probe, queueAddress } from './connection.ts';
import { QueuedDrawer } from './draws.ts';
import { findQueueLibrary, loadQueueLibrary } from './library.ts';
import { bullmqOptions, type BullmqOptions } from './options.ts';
import { bullmqPackages } from './package.ts';
import { sha256 } from './protocol.ts';
import { readRegistry } from './registry.ts';
import { serveQueue } from './worker.ts';
import { WeightPublisher } from './weights.ts';

export default definePlugin({
  name: 'bullmq',
  packages: bullmqPackages,
  provides: [
    defineExecutor({
      name: 'bullmq',
      summary: 'drawings are computed by workers on a queue in Redis (bullmq), bit for bit as this process would',
      options: bullmqOptions,
      create: (choice, scope) => openExecutor(choice, scope),
    }),
  ],
});

function openExecutor(choice: BullmqOptions, scope: Scope): Executor {
  const { log } = scope;
  const files = findQueueLibrary();
  const publishers = new Set<WeightPublisher>();
  let client: Promise<QueueClient> | undefined;
  const openClient = async ({ identity, signal }: DrawnModel): Promise<QueueClient> => {
    const address = queueAddress(choice.addressVariable);
    const library = await loadQueueLibrary(files);
    const opened = await QueueClient.open({ library, address, choice, identity, log, signal });
    scope.onDispose(() => opened.close());
    return opened;
  };
  return {
    open: async (model) => {
      const queue = await (client ??= openClient(model));
      const run = sha256(`${hostname()}:${model.run}`).slice(0, 16);
      const blobs =
        choice.weights === undefined ? new RedisBlobs(queue.connection, run) : new FolderBlobs(choice.weights, run);
      const publisher: WeightPublisher = new WeightPublisher(model.weights, blobs, (hash) =>
        [...publishers].some((other) => other !== publisher && other.holds(hash)),
      );
      publishers.add(publisher);
      const withdraw = async (): Promise<void> => {
        if (!publishers.delete(publisher)) return;
        // What is left behind goes by itself after a while.
        await publisher
          .withdraw()
          .catch((error: unknown) => log.debug(`weights were left in the queue: ${String(error)}`));
      };
      scope.onDispose(withdraw);
      return new QueuedDrawer({ client: queue, publisher, model, choice, run, log, withdraw });
    },
    serve: async (service, check, signal) => {
      const address = queueAddress(choice.addressVariable);
      await serveQueue({ library: await loadQueueLibrary(files), address, choice, service, check, log, signal });
    },
    workers: async () => {
      const address = queueAddress(choice.addressVariable);
      const library = await loadQueueLibrary(files);
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
