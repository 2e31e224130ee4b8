/** Runs whose drawings are computed by workers, with a Redis of their own: the end is that of a run alone, bit for bit. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import type { DrawService } from '../../../core/contracts/executor.ts';
import { checkpointOf, Workplace, type Ended } from '../../support/runs.ts';
import { expectSameRun } from '../../support/resumed.ts';
import { findQueueLibrary, loadQueueLibrary } from '../../../plugins/bullmq/library.ts';
import { drawQueueName } from '../../../plugins/bullmq/protocol.ts';
import { readRegistry } from '../../../plugins/bullmq/registry.ts';
import { workHere, type WorkerHere } from './here.ts';
import { describeWithRedis, RedisServer } from './redis-server.ts';

const place = new Workplace();
const steps = 2;
const password = 'a-password-that-nobody-shall-see';
const queued = ['executor=bullmq', 'executor.patience=60', 'executor.spotCheck=1', 'executor.lockSeconds=2'];

const text = `rewards: [{ use: faulty, fault: half-blind }]
optimizer: { use: adamw, learningRate: 2e-3 }
recipe: { use: grpo, steps: ${steps}, prompts: 3, promptsAtOnce: 1, groupSize: 4, refillRounds: 1, rationaleTokens: 6, saveEvery: 1, evaluations: 3 }
`;

const lies = (draw: DrawService['draw']): DrawService['draw'] => {
  return async (...asked) => {
    const [first, ...others] = await draw(...asked);
    if (first === undefined) throw new RangeError('unreachable: something was asked for');
    const [code = 0, ...codes] = first.codes;
    return [{ ...first, codes: [code === 0 ? 1 : 0, ...codes] }, ...others];
  };
};

describeWithRedis('workers on a queue', () => {
  let redis: RedisServer;
  let preset: string;
  let alone: Ended;
  const workers: WorkerHere[] = [];
  const start = async (more: readonly string[] = [], alter?: typeof lies): Promise<WorkerHere> => {
    const worker = await workHere(preset, [...queued, ...more], alter);
    workers.push(worker);
    return worker;
  };
  const nameOf = ({ lines }: WorkerHere): string => /worker (\S+) serves/.exec(lines.join('\n'))?.[1] ?? '';

  beforeAll(async () => {
    redis = await RedisServer.start(['--requirepass', password]);
    process.env['REASONGEN_QUEUE'] = `redis://:${password}@127.0.0.1:${redis.port}`;
    preset = place.preset('queued', text);
    alone = await place.run(preset);
  });
  afterEach(async () => {
    for (const worker of workers.splice(0)) await worker.end().catch(() => undefined);
  });
  afterAll(async () => {
    delete process.env['REASONGEN_QUEUE'];
    await redis?.end();
  });

  test('two workers draw what one process does; no file of the run knows where the queue is', async () => {
    const [one, two] = [await start(), await start()];
    const listed = await place.command('workers', preset, '--set', 'executor=bullmq', '--json');
    const names = [nameOf(one), nameOf(two)].toSorted();
    expect(JSON.parse(listed.output)).toMatchObject(names.map((name) => ({ name, check: 'not looked at', jobs: 0 })));
    const run = await place.run(preset, { settings: queued });
    await expectSameRun(alone, run, steps, 'queued');
    expect(run.lines.join('\n')).toMatch(/worker \S+ has drawn \d+ sequences/);
    for (const worker of [one, two]) await worker.end();
    const after = await place.command('workers', preset, '--set', 'executor=bullmq');
    expect(after.output).toBe('no worker serves this queue\n');
    const written = readdirSync(run.directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'));
    const said = [...run.lines, ...one.lines, ...two.lines, listed.output, listed.errors];
    for (const secret of [password, `:${redis.port}`])
      expect([...written, ...said].filter((each) => each.includes(secret))).toEqual([]);
  });

  test('a worker that returns other tokens is named and refused; the run ends as if it had not been there', async () => {
    const wrong = await start([], lies);
    const honest = await start();
    const run = await place.run(preset, { settings: queued });
    await expectSameRun(alone, run, steps, 'lied to');
    expect(run.lines.join('\n')).toMatch(
      new RegExp(`worker ${nameOf(wrong)} is refused: of row key \\d+ and seed \\d+ it returned other tokens`),
    );
    // It looks every few seconds.
    await expect(wrong.ended).rejects.toThrow(/takes nothing of this worker any more/);
    await honest.end();
  });

  test('weights travel through a folder, in which nothing is left behind the run', async () => {
    const folder = place.free('weights');
    await start([`executor.weights=${folder}`]);
    const run = await place.run(preset, { settings: [...queued, `executor.weights=${folder}`] });
    await expectSameRun(alone, run, steps, 'through a folder');
    const [own = ''] = readdirSync(folder);
    expect(readdirSync(join(folder, own))).toEqual([]);
  });

  test('adapters with an average, two runs on one queue, and one worker for both', async () => {
    const taught = await place.halfTaught();
    const lora = ['recipe.lora={ rank: 2 }', 'recipe.ema={ decay: 0.5 }', `recipe.weights=${taught.directory}`];
    const expected = await place.run(preset, { settings: lora });
    const worker = await start();
    const [whole, adapted] = await Promise.all([
      place.run(preset, { settings: queued }),
      place.run(preset, { settings: [...queued, ...lora] }),
    ]);
    await expectSameRun(alone, whole, steps, 'beside another');
    await expectSameRun(expected, adapted, steps, 'adapters');
    await worker.end();
  });

  test('a sweep draws all its runs with the same workers, and comes to what it comes to alone', async () => {
    const axis = ['--sweep', 'optimizer.learningRate=1e-3,2e-3', '--set', 'steps=1'];
    const [own, shared] = [place.free('sweep-alone'), place.free('sweep-queued')];
    const reference = await place.command('run', preset, ...axis, '--run-dir', own);
    expect(reference.code, reference.errors).toBe(0);
    const worker = await start();
    const sets = queued.flatMap((setting) => ['--set', setting]);
    const swept = await place.command('run', preset, ...axis, ...sets, '--run-dir', shared);
    expect(swept.code, swept.errors).toBe(0);
    for (const rate of ['1e-3', '2e-3']) {
      const folder = `learningRate=${rate},seed=3`;
      expect(checkpointOf(join(shared, folder), 1).weights).toEqual(checkpointOf(join(own, folder), 1).weights);
      expect(readFileSync(join(shared, folder, 'log.txt'), 'utf8')).toContain(`worker ${nameOf(worker)} has drawn`);
    }
    expect(readFileSync(join(shared, 'results.json'))).toEqual(readFileSync(join(own, 'results.json')));
    await worker.end();
  });

  test('what is no job of ours is not done, and harms nobody', async () => {
    const worker = await start();
    const { bullmq, ioredis } = await loadQueueLibrary(findQueueLibrary());
    const connection = new ioredis.Redis(process.env['REASONGEN_QUEUE'] ?? '', { maxRetriesPerRequest: null });
    // Queues of workers that have ended are there as well, and nobody serves them.
    const identity = await vi.waitFor(
      async () => {
        const found = (await readRegistry(connection)).find((each) => each.name === nameOf(worker))?.draws;
        if (found === undefined) throw new Error('the worker is not listed');
        return found;
      },
      { timeout: 20_000 },
    );
    const name = drawQueueName(identity);
    const queue = new bullmq.Queue(name, { connection });
    const listening = connection.duplicate();
    const events = new bullmq.QueueEvents(name, { connection: listening });
    await events.waitUntilReady();
    const job = await queue.add('draw', { run: '../../etc', code: 'process.exit()' }, { jobId: 'foreign' });
    await expect(job.waitUntilFinished(events)).rejects.toThrow(/no job of this program/);
    expect(worker.lines.join('\n')).toMatch(/job foreign is not one of ours: .*; it is not done/);
    await events.close();
    await queue.close();
    for (const each of [connection, listening]) each.disconnect();
    const run = await place.run(preset, { settings: queued });
    await expectSameRun(alone, run, steps, 'beside a foreign job');
  });
});
