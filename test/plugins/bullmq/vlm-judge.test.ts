/** A published model as judge on the queue: the rewards and weights are those of a run that asks it beside its own model. */
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { janusFolder } from '../../support/janus-folder.ts';
import { memoryOf, publishedPreset, ratioPlugin } from '../../support/published-runs.ts';
import { curve, Workplace } from '../../support/runs.ts';
import { workHere, type WorkerHere } from './here.ts';
import { describeWithRedis, RedisServer } from './redis-server.ts';

const place = new Workplace();
const model = fileURLToPath(new URL('../../golden/qwen-vl/qwen2.5-tiny-a', import.meta.url));
const eye = `use: vlm-judge, model: ${model}, batch: 4, questionTokens: 128, maxTokens: 0, cache: off`;
const queue = 'executor: { use: bullmq, patience: 5, lockSeconds: 2 }';

describeWithRedis('a model that looks, at workers', () => {
  let redis: RedisServer;
  let folder: string;
  const workers: WorkerHere[] = [];
  const placed = (where: string): string =>
    `plugins: [${ratioPlugin(place)}]\njudges: [{ ${eye}, name: eye, ${where} }]\nrewards: [{ use: ratio, judge: eye }]`;
  const preset = (name: string, asked: string): string =>
    publishedPreset(
      place,
      name,
      folder,
      `${asked}
optimizer: { use: adamw, learningRate: 1e-2 }
recipe: { use: grpo, weights: ${folder}, steps: 2, prompts: 2, groupSize: 4, rationaleTokens: 8, promptTokens: 64, evaluations: 0 }`,
    );
  beforeAll(async () => {
    folder = janusFolder(place.path('policy'), 'tiny-b');
    redis = await RedisServer.start();
    process.env['REASONGEN_QUEUE'] = redis.url;
  });
  afterEach(async () => {
    for (const worker of workers.splice(0)) await worker.end().catch(() => undefined);
  });
  afterAll(async () => {
    delete process.env['REASONGEN_QUEUE'];
    await redis?.end();
  });

  test('says the same, and takes no memory of the run', async () => {
    const here = await place.run(preset('here', placed('place: device')));
    const file = preset('there', `${queue}\n${placed('place: worker')}`);
    workers.push(await workHere(file, [], undefined, ['draw', 'judge']));
    const there = await place.run(file);
    expect(curve(there.directory, 'reward')).toEqual(curve(here.directory, 'reward'));
    expect(curve(there.directory, 'gradientNorm')).toEqual(curve(here.directory, 'gradientNorm'));
    expect(memoryOf(there).plannedBytes).toBeLessThan(memoryOf(here).plannedBytes - 100_000);
    expect(there.lines.join('\n')).toMatch(/worker \S+ has answered for judge "eye" \d+ times/);
  });

  test('check plans it, and a preset without a queue is told', async () => {
    const file = preset('planned', `${queue}\n${placed('place: worker')}`);
    const { output } = await place.command('check', file);
    expect(output).toMatch(
      /place of judges\.eye: device [^;]*; swap [^;]*; process [^;]*; worker [\d.]+ MiB \(chosen\), fits/,
    );
    const alone = await place.command('check', preset('alone', placed('place: worker')));
    expect(alone.errors + alone.output).toMatch(/NO_QUEUE {2}judge "eye"/);
    expect(alone.code).toBe(2);
    const beside = await place.command('check', preset('beside', placed('place: device')));
    expect(beside.output).toMatch(/place of judges\.eye: device/);
    expect(beside.output).not.toMatch(/worker/);
  });
});
