/** Weights on their way: only what changed travels, nothing is believed by its name, and nothing is left behind. */
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DrawService, ReceivingWeights, SharedWeights } from '../../../core/contracts/executor.ts';
import { FolderBlobs, RedisBlobs, type BlobStore } from '../../../plugins/bullmq/blobs.ts';
import { findQueueLibrary, loadQueueLibrary, type Redis } from '../../../plugins/bullmq/library.ts';
import { sha256 } from '../../../plugins/bullmq/protocol.ts';
import { WeightPublisher, WeightTaker } from '../../../plugins/bullmq/weights.ts';
import { Workplace } from '../../support/runs.ts';
import { describeWithRedis, RedisServer } from './redis-server.ts';

const place = new Workplace();
const run = '0123456789abcdef';

/** Weights of a model that is a few lists of bytes. `large` takes three pieces of 1 MiB. */
function model() {
  const bytes = new Map<string, Uint8Array>([
    ['frozen', new Uint8Array(1000).fill(1)],
    ['moved', new Uint8Array(500).fill(2)],
    ['large', new Uint8Array(2.5 * 2 ** 20).fill(3)],
  ]);
  let version = 0;
  const read: string[][] = [];
  const weights: SharedWeights = {
    layout: { tensors: [...bytes.keys()].map((name) => ({ name, storage: 'f32' as const })), adapters: [] },
    names: [...bytes.keys()],
    moves: (name) => name !== 'frozen',
    version: () => version,
    byteLength: (name) => bytes.get(name)?.byteLength ?? 0,
    read: (names) => {
      read.push([...names]);
      return Promise.resolve(names.map((name) => bytes.get(name) ?? new Uint8Array()));
    },
  };
  const update = (name: string, value: number): void => {
    bytes.set(name, new Uint8Array(bytes.get(name)?.byteLength ?? 0).fill(value));
    version += 1;
  };
  return { weights, bytes, read, update };
}

function receiver(names: readonly string[]) {
  /** Hashes by name. */
  const held = new Map<string, string>();
  const written: string[] = [];
  const receiving: ReceivingWeights = {
    names,
    byteLength: () => 0,
    write: (name, bytes) => {
      written.push(name);
      held.set(name, sha256(bytes));
    },
  };
  const service = { openWeights: () => Promise.resolve(receiving) } as unknown as DrawService;
  return { taker: new WeightTaker(service), held, written };
}

function hashesOf(bytes: ReadonlyMap<string, Uint8Array>): Map<string, string> {
  return new Map([...bytes].map(([name, own]) => [name, sha256(own)]));
}

function behaves(storeOf: () => BlobStore, harm: (hash: string) => Promise<void>): void {
  test('what changed is read, handed out and taken, and nothing else', async () => {
    const { weights, bytes, read, update } = model();
    const { taker, held, written } = receiver(weights.names);
    const store = storeOf();
    const publisher = new WeightPublisher(weights, store, () => false);
    const first = await publisher.publish();
    expect(await taker.take(first.list, store)).toBeUndefined();
    await first.release();
    expect(held).toEqual(hashesOf(bytes));
    read.length = written.length = 0;
    const { list: same, release } = await publisher.publish();
    await release();
    expect(read).toEqual([]);
    update('moved', 9);
    const { list: next } = await publisher.publish();
    expect(next).not.toBe(same);
    expect(read.flat()).toEqual(['moved', 'large']);
    expect(await taker.take(next, store)).toBeUndefined();
    expect(written).toEqual(['moved']);
    expect(held).toEqual(hashesOf(bytes));
    // One that comes late has all of it.
    const late = receiver(weights.names);
    expect(await late.taker.take(next, store)).toBeUndefined();
    expect(late.held).toEqual(hashesOf(bytes));
    // The old one is gone.
    expect(await store.get(same)).toBeUndefined();
    await publisher.withdraw();
    expect(await store.missing([next, ...[...bytes.values()].map(sha256)])).toHaveLength(4);
  });

  test('what is being drawn with stays until it is released, whatever the weights are by then', async () => {
    const { weights, bytes, update } = model();
    const store = storeOf();
    const publisher = new WeightPublisher(weights, store, () => false);
    const { list, release } = await publisher.publish();
    const before = hashesOf(bytes);
    update('moved', 9);
    await (await publisher.publish()).release();
    const { taker, held } = receiver(weights.names);
    expect(await taker.take(list, store)).toBeUndefined();
    expect(held).toEqual(before);
    await release();
    expect(await store.get(list)).toBeUndefined();
    // What both have is still there.
    expect(await store.get(before.get('frozen') ?? '')).toBeDefined();
    await publisher.withdraw();
    expect(await store.missing([...before.values()])).toHaveLength(3);
  });

  test('equal tensors, of one hash, may be put at the same time', async () => {
    const store = storeOf();
    const bytes = new Uint8Array(3 * 2 ** 20).fill(7);
    const hash = sha256(bytes);
    await Promise.all([1, 2, 3].map(() => store.put(hash, bytes)));
    expect(sha256((await store.get(hash)) ?? '')).toBe(hash);
    await store.drop([hash]);
    expect(await store.get(hash)).toBeUndefined();
  });

  test('bytes of another hash are not taken; they are handed out again when they are missed', async () => {
    const { weights, bytes } = model();
    const { taker, held } = receiver(weights.names);
    const store = storeOf();
    const publisher = new WeightPublisher(weights, store, () => false);
    const { list } = await publisher.publish();
    await harm(sha256(bytes.get('large') ?? ''));
    expect(await taker.take(list, store)).toBe('large');
    await store.drop([sha256(bytes.get('large') ?? '')]);
    expect((await publisher.publish()).list).toBe(list);
    expect(await taker.take(list, store)).toBeUndefined();
    expect(held).toEqual(hashesOf(bytes));
    await publisher.withdraw();
  });
}

describe('through a folder', () => {
  const folder = (): string => place.path('shared');
  behaves(
    () => new FolderBlobs(folder(), run),
    (hash) => Promise.resolve(writeFileSync(join(folder(), run, hash), 'harmed')),
  );
  test('nothing is left', () => {
    expect(readdirSync(join(folder(), run))).toEqual([]);
    rmSync(folder(), { recursive: true });
  });
});

describeWithRedis('through Redis', () => {
  let server: RedisServer;
  let redis: Redis;
  beforeAll(async () => {
    server = await RedisServer.start();
    const { ioredis } = await loadQueueLibrary(findQueueLibrary());
    redis = new ioredis.Redis(server.url);
  });
  afterAll(async () => {
    redis?.disconnect();
    await server?.end();
  });
  behaves(
    () => new RedisBlobs(redis, run),
    async (hash) => void (await redis.set(`reasongen:${run}:${hash}:1`, 'harmed')),
  );
  test('nothing is left, and what a killed run would leave goes by itself', async () => {
    expect(await redis.keys('*')).toEqual([]);
    const store = new RedisBlobs(redis, run);
    await store.put(sha256('x'), new TextEncoder().encode('x'));
    for (const key of await redis.keys('*')) expect(await redis.ttl(key)).toBeGreaterThan(3000);
  });
});
