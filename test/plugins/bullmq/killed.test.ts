/** Workers as programs of their own, on the nano model: killed at any moment, Redis as well, the run ends as one that nobody disturbed. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { Workplace, root, type Ended } from '../../support/runs.ts';
import { expectSameRun } from '../../support/resumed.ts';
import { describeWithRedis, RedisServer } from './redis-server.ts';
import { WorkerProgram } from './workers.ts';

const place = new Workplace();
const steps = 3;
const queue = ['executor=bullmq', 'executor.lockSeconds=2', 'executor.deaths=20'];
const small = `name: killed
extends: ${join(root, 'presets/nano/grpo.yaml')}
plugins: [${join(import.meta.dirname, 'dying.ts')}]
recipe: { steps: ${steps}, prompts: 4, promptsAtOnce: 1, groupSize: 2, miniBatches: 2, warmup: 1, saveEvery: 1, evaluations: 2 }
`;

describeWithRedis('what is killed changes nothing', () => {
  let redis: RedisServer;
  let preset: string;
  let alone: Ended;
  const workers: WorkerProgram[] = [];
  const start = (more: readonly string[] = []): WorkerProgram => {
    const worker = new WorkerProgram(preset, redis.url, [...queue, ...more]);
    workers.push(worker);
    return worker;
  };
  beforeAll(async () => {
    redis = await RedisServer.start();
    process.env['REASONGEN_QUEUE'] = redis.url;
    preset = place.write('killed.yaml', small);
    alone = await place.run(preset);
  }, 600_000);
  afterEach(async () => {
    for (const worker of workers.splice(0)) await worker.end('SIGKILL');
  });
  afterAll(async () => {
    delete process.env['REASONGEN_QUEUE'];
    await redis?.end();
  });

  test('every worker in the middle of its fifth job, and another takes its place', { timeout: 600_000 }, async () => {
    const over = new AbortController();
    let kills = 0;
    const replace = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const worker = start(['executor.use=fragile']);
        await worker.closed;
        if (worker.child.signalCode === 'SIGKILL' && !over.signal.aborted) kills += 1;
      }
    };
    const places = [replace(), replace()];
    const run = await place.run(preset, { settings: queue });
    over.abort();
    for (const worker of workers) await worker.end('SIGKILL');
    await Promise.all(places);
    // 16 jobs and more, four of them by each.
    expect(kills).toBeGreaterThanOrEqual(2);
    await expectSameRun(alone, run, steps, 'workers killed');
  });

  test(
    'Redis in every step, and started again; a worker that is told to end finishes and says goodbye',
    { timeout: 600_000 },
    async () => {
      const worker = start();
      const name = await worker.name();
      const listed = await place.command('workers', preset, '--set', 'executor=bullmq');
      expect(listed.output).toMatch(new RegExp(`^${name} .* \\d+ ops right +0 +\\d+$`, 'm'));
      let kills = 0;
      const run = await place.run(preset, {
        settings: queue,
        atStep: async () => {
          await redis.kill();
          kills += 1;
          await redis.begin();
        },
      });
      expect(kills).toBe(steps);
      await expectSameRun(alone, run, steps, 'Redis killed');
      expect(await worker.end()).toBe(0);
      expect(worker.said).toMatch(new RegExp(`worker ${name} has done \\d+ jobs`));
      expect((await place.command('workers', preset, '--set', 'executor=bullmq')).output).toBe(
        'no worker serves this queue\n',
      );
    },
  );

  test(
    'a random one of three, every few seconds for ten steps, that draw, judge and evaluate',
    { timeout: 600_000 },
    async () => {
      const many = 10;
      const tiny = place.preset(
        'random',
        `rewards: [{ use: is-color, delay: 1000 }]
optimizer: { use: adamw, learningRate: 2e-3 }
recipe: { use: grpo, steps: ${many}, prompts: 4, promptsAtOnce: 1, groupSize: 4, refillRounds: 1, rationaleTokens: 6, evaluations: 6, evaluateEvery: 3 }
`,
      );
      const shared = [...queue, 'rewards.is-color.byWorkers=true', 'benchmarks.swatches.byWorkers=true'];
      const expected = await place.run(tiny);
      const begin = (): WorkerProgram => {
        const worker = new WorkerProgram(tiny, redis.url, shared);
        workers.push(worker);
        return worker;
      };
      const three = [begin(), begin(), begin()];
      const over = new AbortController();
      let [kills, random] = [0, 12345];
      const kill = async (): Promise<void> => {
        while (!over.signal.aborted) {
          random = (Math.imul(random, 1103515245) + 12345) >>> 0;
          const index = (random >>> 16) % three.length;
          await wait(1000 + (random % 3000), undefined, { signal: over.signal }).catch(() => undefined);
          const victim = three[index];
          // One that has not begun to work is no loss.
          if (victim === undefined || over.signal.aborted || !/ serves /.test(victim.said)) continue;
          await victim.end('SIGKILL');
          kills += 1;
          three[index] = begin();
        }
      };
      const killing = kill();
      const run = await place.run(tiny, { settings: shared });
      over.abort();
      await killing;
      expect(kills).toBeGreaterThanOrEqual(2);
      await expectSameRun(expected, run, many, 'random workers killed');
      expect(readdirSync(join(run.directory, 'evaluations'))).toEqual(
        readdirSync(join(expected.directory, 'evaluations')),
      );
      for (const name of readdirSync(join(expected.directory, 'evaluations')))
        expect(readFileSync(join(run.directory, 'evaluations', name), 'latin1'), name).toBe(
          readFileSync(join(expected.directory, 'evaluations', name), 'latin1'),
        );
    },
  );

  test('a job that ends its workers stops the run, which is resumed without it', { timeout: 600_000 }, async () => {
    const fragile = [...queue.slice(0, 2), 'executor.deaths=0', 'recipe.evaluations=0', 'recipe.steps=1'];
    const dying = start(['executor.use=dying', 'executor.deaths=0']);
    await dying.name();
    const directory = place.free();
    const stopped = place.command('run', preset, '--run-dir', directory, ...fragile.flatMap((each) => ['--set', each]));
    // Its lock runs out under the next worker, which looks for such jobs.
    await expect.poll(() => dying.hasEnded, { timeout: 120_000 }).toBe(true);
    await start(['executor.deaths=0']).name();
    const { code, errors } = await stopped;
    expect(errors).toMatch(/POISONED_JOB {2}REASONGEN_QUEUE\n {2}Every worker that took the job \S+ ended over it/i);
    expect(code).toBe(1);
    const resumed = await place.command('resume', directory);
    expect(resumed.code, resumed.errors).toBe(0);
  });
});
