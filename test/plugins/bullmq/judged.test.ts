/** Runs whose rewards and benchmarks workers answer for: the end is that of a run that judges itself, to the byte. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { expectSameRun } from '../../support/resumed.ts';
import { Workplace, type Ended } from '../../support/runs.ts';
import { workHere, type WorkerHere } from './here.ts';
import { describeWithRedis, RedisServer } from './redis-server.ts';

const place = new Workplace();
const steps = 2;
const queued = ['executor=bullmq', 'executor.patience=5', 'executor.lockSeconds=2'];
const byWorkers = [
  'rewards.is-color.byWorkers=true',
  'rewards.diversity.byWorkers=true',
  'benchmarks.swatches.byWorkers=true',
];

const text = `rewards: [{ use: is-color }, { use: diversity, weight: 0.1 }]
benchmarks: [{ use: swatches }]
optimizer: { use: adamw, learningRate: 2e-3 }
recipe: { use: grpo, steps: ${steps}, prompts: 3, promptsAtOnce: 1, groupSize: 4, refillRounds: 1, rationaleTokens: 6, saveEvery: 1, evaluations: 9 }
`;

/** Everything of the evaluations of a run. */
function evaluationsOf({ directory }: Ended): Record<string, string> {
  const folder = join(directory, 'evaluations');
  return Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'latin1')]));
}

describeWithRedis('judged by workers', () => {
  let redis: RedisServer;
  let preset: string;
  let alone: Ended;
  const workers: WorkerHere[] = [];
  const start = async (kinds: Parameters<typeof workHere>[3], more: readonly string[] = []): Promise<WorkerHere> => {
    const worker = await workHere(preset, [...queued, ...byWorkers, ...more], undefined, kinds);
    workers.push(worker);
    return worker;
  };
  beforeAll(async () => {
    redis = await RedisServer.start();
    process.env['REASONGEN_QUEUE'] = redis.url;
    preset = place.preset('judged', text);
    alone = await place.run(preset);
  });
  afterEach(async () => {
    for (const worker of workers.splice(0)) await worker.end().catch(() => undefined);
  });
  afterAll(async () => {
    delete process.env['REASONGEN_QUEUE'];
    await redis?.end();
  });

  test('one draws, two judge, one evaluates: weights, metrics and evaluations are those of one process', async () => {
    await start(['draw']);
    const judging = [await start(['judge']), await start(['judge'])];
    await start(['evaluate']);
    const run = await place.run(preset, { settings: [...queued, ...byWorkers] });
    await expectSameRun(alone, run, steps, 'judged by workers');
    expect(Object.keys(evaluationsOf(alone))).not.toEqual([]);
    expect(evaluationsOf(run)).toEqual(evaluationsOf(alone));
    const said = run.lines.join('\n');
    for (const who of ['reward "is-color"', 'reward "diversity"', 'benchmark "swatches"'])
      expect(said).toMatch(new RegExp(`worker \\S+ has answered for ${who} \\d+ times`));
    for (const worker of judging) await worker.end();
  });

  test('a worker that says other scores is named and refused; another says what the run would have said', async () => {
    await start(['draw', 'evaluate']);
    const lied: string[] = [];
    const better = (answer: unknown): unknown => {
      const said = JSON.stringify(answer);
      lied.push(said);
      return JSON.parse(said.replaceAll(/"value":(0\.\d+|0|1)\b/g, '"value":0.987')) as unknown;
    };
    const liar = await workHere(preset, [...queued, ...byWorkers], undefined, ['judge'], undefined, better);
    workers.push(liar);
    const running = place.run(preset, {
      settings: [...queued, ...byWorkers, 'executor.spotCheck=1', 'executor.patience=60'],
    });
    // Alone, so that the first answer is its.
    await expect(liar.ended).rejects.toMatchObject({
      code: 'WORKER_REFUSED',
      message: expect.stringMatching(/for reward "(is-color|diversity)" it answered 0\.987 in place of \d/) as unknown,
    });
    expect(lied.length).toBeGreaterThan(0);
    await start(['judge']);
    const run = await running;
    const name = /worker (\S+) serves/.exec(liar.lines.join('\n'))?.[1] ?? '';
    expect(run.lines.join('\n')).toContain(`warning: worker ${name} is refused: for reward "`);
    await expectSameRun(alone, run, steps, 'a liar among judges');
    expect(evaluationsOf(run)).toEqual(evaluationsOf(alone));
  });

  test('where nobody answers, the run says for what, and stops', async () => {
    await start(['draw']);
    // It has the reward with another option, so it would say something else.
    await start(['judge'], ['rewards.is-color.delay=1']);
    const failing = place.run(preset, {
      settings: [...queued, ...byWorkers, 'recipe.evaluations=0', 'executor.patience=1'],
    });
    await expect(failing).rejects.toMatchObject({
      code: 'NO_WORKERS',
      message: expect.stringMatching(
        /no worker answers for reward "is-color" of this run: \S+ has component [0-9a-f]{16} in place of [0-9a-f]{16}/,
      ) as unknown,
    });
  });

  test('a preset without a queue cannot leave anything to workers, nor can a worker do what nobody leaves it', async () => {
    const checked = await place.command('check', preset, '--set', byWorkers[0] ?? '');
    expect(checked.errors + checked.output).toMatch(/NO_QUEUE {2}reward "is-color"\n {2}workers are to answer for it/);
    expect(checked.code).toBe(2);
    const idle = await place.command('worker', preset, '--set', 'executor=bullmq', '--for', 'judge');
    expect(idle.errors).toMatch(/NOTHING_TO_ASK .*\n {2}the preset leaves no reward or judge to workers/);
    expect((await place.command('worker', preset, '--for', 'sing')).errors).toMatch(
      /one or several of draw,judge,evaluate/,
    );
  });
});
