/** Workers as programs of their own: killed at any moment, Redis as well, the run ends as one that nobody disturbed. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { expectSameRun } from '../../support/resumed.ts';
import { root, Workplace, type Ended } from '../../support/runs.ts';
import { describeWithRedis, RedisServer } from './redis-server.ts';
import { WorkerCrew, WorkerProgram } from './workers.ts';

const place = new Workplace();
const queue = ['executor=bullmq', 'executor.lockSeconds=2', 'executor.deaths=20'];
const dying = join(import.meta.dirname, 'dying.ts');

/** Times between one second and four, and one of so many; the same in every run of the test. */
function* fates(count: number): Generator<{ readonly milliseconds: number; readonly victim: number }> {
  for (let random = 12345; ;) {
    random = (Math.imul(random, 1103515245) + 12345) >>> 0;
    yield { milliseconds: 1000 + (random % 3000), victim: (random >>> 16) % count };
  }
}

function expectSameEvaluations(expected: Ended, found: Ended): void {
  const [folder, own] = [expected, found].map(({ directory }) => join(directory, 'evaluations')) as [string, string];
  const names = readdirSync(folder);
  expect(names.length).toBeGreaterThan(0);
  expect(readdirSync(own)).toEqual(names);
  for (const name of names)
    expect(readFileSync(join(own, name), 'latin1'), name).toBe(readFileSync(join(folder, name), 'latin1'));
}

describeWithRedis('what is killed changes nothing', () => {
  let redis: RedisServer;
  const workers: WorkerProgram[] = [];
  const start = (preset: string, settings: readonly string[]): WorkerProgram => {
    const worker = new WorkerProgram(preset, redis.url, settings);
    workers.push(worker);
    return worker;
  };
  beforeAll(async () => {
    redis = await RedisServer.start();
    process.env['REASONGEN_QUEUE'] = redis.url;
  });
  afterEach(async () => {
    for (const worker of workers.splice(0)) await worker.end('SIGKILL');
  });
  afterAll(async () => {
    delete process.env['REASONGEN_QUEUE'];
    await redis?.end();
  });

  test(
    'ten steps of the nano model: three workers that draw, judge and evaluate, one killed every few seconds, one in the middle of every eighth job of its own; and Redis in the middle of a step',
    { timeout: 900_000 },
    async () => {
      const steps = 10;
      const preset = place.write(
        'nano.yaml',
        `name: killed
extends: ${join(root, 'presets/nano/grpo.yaml')}
plugins: [${dying}]
recipe: { steps: ${steps}, prompts: 4, promptsAtOnce: 1, groupSize: 2, miniBatches: 2, warmup: 1, saveEvery: 5, evaluations: 4, evaluateEvery: 5 }
`,
      );
      const alone = await place.run(preset);
      const shared = [...queue, 'rewards.nano-verdict.byWorkers=true', 'benchmarks.nano-geneval.byWorkers=true'];
      // Several may end over one job, which is not to blame.
      const crew = new WorkerCrew(3, (index) =>
        start(preset, [...shared, 'executor.deaths=100', ...(index === 0 ? ['executor.use=fragile'] : [])]),
      );
      const over = new AbortController();
      const kill = async (): Promise<void> => {
        for (const { milliseconds, victim } of fates(3)) {
          await crew.isWhole(over.signal);
          await wait(milliseconds, undefined, { signal: over.signal }).catch(() => undefined);
          if (over.signal.aborted) return;
          await crew.workers[victim]?.end('SIGKILL');
        }
      };
      const killing = kill();
      let restarted: Promise<void> | undefined;
      const restart = async (): Promise<void> => {
        await wait(500);
        await redis.kill();
        await redis.begin();
      };
      const run = await place.run(preset, {
        settings: [...shared, 'executor.deaths=100'],
        // While the next step is drawn.
        atStep: async (step) => {
          if (step === steps / 2) restarted = restart();
          await Promise.resolve();
        },
      });
      over.abort();
      await Promise.all([killing, restarted]);
      await crew.dismiss();
      expect(restarted).toBeDefined();
      expect(crew.killed).toBeGreaterThanOrEqual(3);
      await expectSameRun(alone, run, steps, 'everything killed');
      expectSameEvaluations(alone, run);
    },
  );

  test(
    'Redis in every step, and started again; a worker that is told to end finishes and says goodbye',
    { timeout: 600_000 },
    async () => {
      const steps = 3;
      const preset = place.preset(
        'tiny',
        `rewards: [is-color]
optimizer: { use: adamw, learningRate: 2e-3 }
recipe: { use: grpo, steps: ${steps}, prompts: 4, promptsAtOnce: 1, groupSize: 4, refillRounds: 1, rationaleTokens: 6, evaluations: 6, evaluateEvery: 1 }
`,
      );
      const shared = [...queue, 'rewards.is-color.byWorkers=true', 'benchmarks.swatches.byWorkers=true'];
      const alone = await place.run(preset);
      const worker = start(preset, shared);
      const name = await worker.name();
      const listed = await place.command('workers', preset, '--set', 'executor=bullmq');
      expect(listed.output).toMatch(new RegExp(`^${name} .* \\d+ ops right +0 +\\d+$`, 'm'));
      let kills = 0;
      const run = await place.run(preset, {
        settings: shared,
        atStep: async () => {
          await redis.kill();
          kills += 1;
          await redis.begin();
        },
      });
      expect(kills).toBe(steps);
      await expectSameRun(alone, run, steps, 'Redis killed');
      expectSameEvaluations(alone, run);
      expect(await worker.end()).toBe(0);
      expect(worker.said).toMatch(new RegExp(`worker ${name} has done \\d+ jobs`));
      // Those that the test before has killed said nothing, and are listed until their last word is too old.
      expect((await place.command('workers', preset, '--set', 'executor=bullmq')).output).not.toContain(name);
    },
  );

  test('a job that ends its workers stops the run, which is resumed without it', { timeout: 600_000 }, async () => {
    const preset = place.preset(
      'poisoned',
      `plugins: [${dying}]
rewards: [is-color]
optimizer: { use: adamw, learningRate: 2e-3 }
recipe: { use: grpo, steps: 1, prompts: 4, promptsAtOnce: 1, groupSize: 4, rationaleTokens: 6, evaluations: 0 }
`,
    );
    const settings = [...queue.slice(0, 2), 'executor.deaths=0'];
    const first = start(preset, [...settings, 'executor.use=dying']);
    await first.name();
    const directory = place.free();
    const stopped = place.command(
      'run',
      preset,
      '--run-dir',
      directory,
      ...settings.flatMap((each) => ['--set', each]),
    );
    // Its lock runs out under the next worker, which looks for such jobs.
    await expect.poll(() => first.hasEnded, { timeout: 120_000 }).toBe(true);
    await start(preset, settings).name();
    const { code, errors } = await stopped;
    expect(errors).toMatch(/POISONED_JOB {2}REASONGEN_QUEUE\n {2}Every worker that took the job \S+ ended over it/i);
    expect(code).toBe(1);
    const resumed = await place.command('resume', directory);
    expect(resumed.code, resumed.errors).toBe(0);
  });
});
