/** Groups that workers draw while the run trains, and workers whose adapter is another. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { DrawService } from '../../../core/contracts/executor.ts';
import { expectSameRun } from '../../support/resumed.ts';
import { metricsOf, Workplace } from '../../support/runs.ts';
import { workHere, type WorkerHere } from './here.ts';
import { describeWithRedis, RedisServer } from './redis-server.ts';

const place = new Workplace();
const steps = 3;
const queued = ['executor=bullmq', 'executor.patience=60', 'executor.lockSeconds=2', 'executor.spotCheck=1'];
const stale = ['recipe.staleness=1'];

const text = `rewards: [{ use: faulty, fault: half-blind }]
optimizer: { use: adamw, learningRate: 1e-2 }
recipe: { use: grpo, steps: ${steps}, prompts: 3, promptsAtOnce: 1, groupSize: 4, refillRounds: 1, rationaleTokens: 6, saveEvery: 1, evaluations: 3, evaluateEvery: 1 }
`;

type Alter = (draw: DrawService['draw']) => DrawService['draw'];

/** Other log-probabilities than those of the tokens, by so much. */
const off =
  (by: number): Alter =>
  (draw) =>
  async (...asked) =>
    (await draw(...asked)).map((sequence) => ({
      ...sequence,
      logProbability: sequence.logProbability.map((value) => (value === 0 ? value : value - by)),
    }));

describeWithRedis('drawn ahead, or on another adapter', () => {
  let redis: RedisServer;
  let preset: string;
  const workers: WorkerHere[] = [];
  const start = async (alter?: Alter, adapter?: string): Promise<WorkerHere> => {
    const worker = await workHere(preset, queued, alter, ['draw'], adapter);
    workers.push(worker);
    return worker;
  };
  const nameOf = ({ lines }: WorkerHere): string => /worker (\S+) serves/.exec(lines.join('\n'))?.[1] ?? '';
  beforeAll(async () => {
    redis = await RedisServer.start();
    process.env['REASONGEN_QUEUE'] = redis.url;
    preset = place.preset('ahead', text);
  });
  afterEach(async () => {
    for (const worker of workers.splice(0)) await worker.end().catch(() => undefined);
  });
  afterAll(async () => {
    delete process.env['REASONGEN_QUEUE'];
    await redis?.end();
  });

  test('with staleness 1 workers draw what the process alone would', async () => {
    const alone = await place.run(preset, { settings: stale });
    await start();
    await start();
    const run = await place.run(preset, { settings: [...queued, ...stale] });
    await expectSameRun(alone, run, steps, 'ahead');
  });

  test('workers of other adapters are left alone unless the preset takes them; then each is measured', async () => {
    const other = await start(off(1e-5), 'another adapter');
    const refused = place.run(preset, { settings: [...queued, 'executor.patience=1'] });
    await expect(refused).rejects.toMatchObject({
      code: 'NO_WORKERS',
      message: expect.stringContaining(`${nameOf(other)} has adapter another adapter in place of`) as unknown,
    });
    const run = await place.run(preset, { settings: [...queued, 'executor.otherAdapters=true'] });
    expect(run.lines.join('\n')).toMatch(
      new RegExp(`worker ${nameOf(other)}: sampler and scorer differ by at most 1\\.\\d+e-5`),
    );
    expect(metricsOf(run.directory)).toHaveLength(steps);
    expect(run.lines.join('\n')).not.toMatch(/is left out/);
  });

  test('one past the tolerance is named and left out, with what it drew; another goes on', async () => {
    const wrong = await start(off(0.5), 'another adapter');
    const running = place.run(preset, { settings: [...queued, 'executor.otherAdapters=true'] });
    // Alone, so that it draws all of the first step.
    await expect(wrong.ended).rejects.toThrow(/takes nothing of this worker any more/);
    const exact = await start();
    const run = await running;
    expect(run.lines.join('\n')).toMatch(
      new RegExp(
        `step 1: worker ${nameOf(wrong)} is left out, with the groups that it drew: its sampler and the scorer`,
      ),
    );
    const [first, ...others] = metricsOf(run.directory);
    // Nothing was left to learn from.
    expect(first).not.toHaveProperty(['gradientNorm']);
    expect(others).toHaveLength(steps - 1);
    for (const { gradientNorm, ratioDifference } of others) {
      expect(gradientNorm).toBeGreaterThan(0);
      expect(ratioDifference).toBeLessThan(1e-2);
    }
    await exact.end();
  });
});
