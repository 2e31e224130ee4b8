/** GRPO from end to end on the swatches: it raises the reward, and its numbers agree with each other. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { curve, evaluationOf, mean, metricsOf, Workplace } from '../../../support/runs.ts';

const place = new Workplace();

async function grpo(
  recipe: string,
  { rewards = '[is-color]', more = '', start = place.halfTaught() } = {},
): Promise<string> {
  const { directory } = await start;
  const text = `rewards: ${rewards}\noptimizer: { use: adamw, learningRate: 2e-3 }\n${more}`;
  return place.preset(
    'grpo',
    `${text}\nrecipe: { use: grpo, weights: ${directory}, prompts: 8, groupSize: 8, rationaleTokens: 12, imageTemperature: 1, ${recipe} }\n`,
  );
}

test('raises the reward of its drawings clear of noise, and records the way', async () => {
  const { directory, code, lines } = await place.run(
    await grpo('steps: 16, samplesEvery: 5, samplesShown: 6, evaluations: 16, evaluateEvery: 8'),
  );
  expect(code).toBe(0);
  const reward = curve(directory, 'reward');
  expect(reward).toHaveLength(16);
  // Between seeds the mean of four steps varies by 0.03.
  expect(mean(reward.slice(-4))).toBeGreaterThan(mean(reward.slice(0, 4)) + 0.2);
  // Sampler and scorer describe one distribution.
  expect(Math.max(...curve(directory, 'ratioDifference'))).toBeLessThan(1e-5);
  expect(readdirSync(join(directory, 'evaluations')).sort()).toEqual(
    ['after', 'before', 'step-000008'].flatMap((label) => [
      `swatches.heldout.${label}.json`,
      `swatches.heldout.${label}.jsonl`,
    ]),
  );
  expect(evaluationOf(directory, 'swatches.heldout.step-000008')).toMatchObject({
    step: 8,
    count: 16,
    overall: { total: 16 },
  });
  expect(lines.filter((line) => line.includes('heldout'))).toHaveLength(3);
  expect(readdirSync(join(directory, 'samples'))).toEqual(['step-000001', 'step-000005', 'step-000010', 'step-000015']);
  const samples = readFileSync(join(directory, 'samples/step-000005/samples.jsonl'), 'utf8').trim().split('\n');
  expect(samples).toHaveLength(6);
  expect(JSON.parse(samples[0] ?? '')).toMatchObject({
    image: '000.png',
    task: 'color',
    rationale: expect.any(String),
    scores: { 'is-color': { value: expect.any(Number) } },
  });
});

test('groups without variance are dropped, and others drawn in their place', async () => {
  const halfBlind = { rewards: '[{ use: faulty, fault: half-blind }]' };
  const refilled = metricsOf((await place.run(await grpo('steps: 2', halfBlind))).directory);
  // Four of eight prompts always score the same: the second round replaces them.
  for (const { rounds, keptShare } of refilled) {
    expect(rounds).toBe(2);
    expect(Number(keptShare)).toBeGreaterThan(0);
    expect(Number(keptShare)).toBeLessThanOrEqual(0.5);
  }
  const [first] = metricsOf((await place.run(await grpo('steps: 1, refillRounds: 0', halfBlind))).directory);
  expect(first?.['rounds']).toBe(1);
  // The reward of a step tells of all drawings: those of the four blind prompts score 0.5.
  expect(Number(first?.['reward'])).toBeGreaterThan(0.25);
});

test('controllers hold the entropy: upwards and downwards', async () => {
  const run = async (target: number): Promise<string> => {
    const entropy = `{ target: ${target}, rate: 0.1, bound: 0.5 }`;
    return (await place.run(await grpo(`steps: 5, textEntropy: ${entropy}, imageEntropy: ${entropy}`))).directory;
  };
  const [high, low] = [await run(1.5), await run(0.001)];
  for (const kind of ['text', 'image']) {
    expect(curve(high, `${kind}/entropyCoefficient`).at(-1)).toBeLessThan(-0.1);
    expect(curve(low, `${kind}/entropyCoefficient`).at(-1)).toBeGreaterThan(0.1);
    // Before a controller has acted, the runs are one.
    expect(curve(high, 'reward')[0]).toBe(curve(low, 'reward')[0]);
    expect(mean(curve(high, `${kind}/entropy`).slice(-2))).toBeGreaterThan(
      mean(curve(low, `${kind}/entropy`).slice(-2)) * 1.5,
    );
  }
});

test('trains on a pool of fixed prompts and says how it does on them', async () => {
  const { directory } = await place.run(await grpo('steps: 1, pool: 3, evaluations: 4'));
  expect(readdirSync(join(directory, 'evaluations')).sort()).toEqual(
    ['heldout.after', 'heldout.before', 'pool.after', 'pool.before'].flatMap((name) => [
      `swatches.${name}.json`,
      `swatches.${name}.jsonl`,
    ]),
  );
  const { samples } = evaluationOf(directory, 'swatches.pool.before');
  expect(samples.map(({ prompt }) => prompt)).toEqual([
    'a yellow picture',
    'a purple picture',
    'a orange picture',
    'a yellow picture',
  ]);
});

test('a pool larger than the dataset is refused', async () => {
  await expect(place.run(await grpo('steps: 1, pool: 9'))).rejects.toMatchObject({
    code: 'NO_PROMPTS',
    exitCode: 2,
    hint: expect.stringContaining('recipe.pool to 8'),
  });
});

test('draws at once, without a rationale', async () => {
  const start = place.run(
    place.preset(
      'direct',
      'optimizer: { use: adamw, learningRate: 1e-2 }\nrecipe: { use: sft, steps: 20, batch: 16, examples: 16, rationale: false }\n',
    ),
  );
  const { directory } = await place.run(await grpo('steps: 12, rationale: false', { start }));
  const reward = curve(directory, 'reward');
  expect(mean(reward.slice(-4))).toBeGreaterThan(mean(reward.slice(0, 4)) + 0.1);
  expect(Math.max(...curve(directory, 'ratioDifference'))).toBeLessThan(1e-5);
  expect(metricsOf(directory)[0]).not.toHaveProperty('text/entropy');
  expect(curve(directory, 'rationaleTokens').every((count) => count === 0)).toBe(true);
});

test('another backbone by one line, another optimizer by another', async () => {
  const more = 'backbone: { use: unified, hidden: 32, layers: 1, heads: 2, mlp: 64 }';
  const start = place.run(
    place.preset(
      'unified',
      `${more}\noptimizer: { use: adamw, learningRate: 1e-2 }\nrecipe: { use: sft, steps: 28, batch: 16, examples: 16 }\n`,
    ),
  );
  const { directory } = await place.run(await grpo('steps: 3', { start, more }), {
    settings: ['optimizer={ use: sgd, learningRate: 0.05 }'],
  });
  expect(Math.max(...curve(directory, 'ratioDifference'))).toBeLessThan(1e-5);
  expect(curve(directory, 'gradientNorm').every((norm) => norm > 0)).toBe(true);
});

test('trains on the drawings of a group that differ most, and still raises the reward', async () => {
  const { directory } = await place.run(
    await grpo('steps: 16, downSample: 4, samplesEvery: 16, samplesShown: 64, refillRounds: 0'),
  );
  const reward = curve(directory, 'reward');
  expect(mean(reward.slice(-4))).toBeGreaterThan(mean(reward.slice(0, 4)) + 0.2);
  const samples = readFileSync(join(directory, 'samples/step-000016/samples.jsonl'), 'utf8').trim().split('\n');
  const drawn = samples.map((line) => JSON.parse(line) as { readonly total: number; readonly advantage: number });
  expect(drawn).toHaveLength(64);
  for (let start = 0; start < 64; start += 8) {
    const group = drawn.slice(start, start + 8);
    const totals = group.map(({ total }) => total);
    const trained = group.filter(({ advantage }) => advantage !== 0);
    if (new Set(totals).size === 1) expect(trained).toEqual([]);
    else {
      expect(trained.length).toBeGreaterThan(0);
      expect(trained.length).toBeLessThanOrEqual(4);
      expect(trained.map(({ total }) => total)).toEqual(
        expect.arrayContaining([Math.min(...totals), Math.max(...totals)]),
      );
      expect(Math.abs(mean(trained.map(({ advantage }) => advantage)))).toBeLessThan(1e-6);
    }
  }
}, 120_000);
