/** Every option of GRPO once on the swatches: it runs, and the numbers it is about do what they must. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { silentLog } from '../../../../core/log.ts';
import { planStage } from '../../../../core/plan-stage.ts';
import { loadPreset } from '../../../../core/preset/load.ts';
import { at } from '../../../../core/testing.ts';
import { curve, metricsOf, Workplace } from '../../../support/runs.ts';

const place = new Workplace();

/** Runs by what they were told: a run that several tests compare others with is made once. */
const runs = new Map<string, Promise<string>>();

function grpo(recipe: string, { steps = 1, rewards = '[is-color]', more = '' } = {}): Promise<string> {
  const told = JSON.stringify([recipe, steps, rewards, more]);
  const run = runs.get(told) ?? runGrpo(recipe, steps, rewards, more);
  runs.set(told, run);
  return run;
}

async function runGrpo(recipe: string, steps: number, rewards: string, more: string): Promise<string> {
  const { directory } = await place.halfTaught();
  const text = `rewards: ${rewards}\noptimizer: { use: adamw, learningRate: 2e-3 }\n${more}`;
  const preset = place.preset(
    'grpo',
    `${text}\nrecipe: { use: grpo, weights: ${directory}, steps: ${steps}, prompts: 4, groupSize: 6, refillRounds: 0, rationaleTokens: 12, imageTemperature: 1, samplesEvery: 0, ${recipe} }\n`,
  );
  return (await place.run(preset)).directory;
}

const first = (directory: string, name: string): number => curve(directory, name)[0] ?? NaN;

test('micro-batches add up to the whole, whatever the aggregation', async () => {
  for (const aggregation of ['token-mean', 'sequence-mean']) {
    const whole = await grpo(`miniBatches: 1, aggregation: ${aggregation}`);
    const cut = await grpo(`miniBatches: 1, microBatch: 5, aggregation: ${aggregation}`);
    expect(first(cut, 'gradientNorm') / first(whole, 'gradientNorm')).toBeCloseTo(1, 4);
    expect(curve(cut, 'image/entropy')[0]).toBeCloseTo(first(whole, 'image/entropy'), 5);
  }
});

test('how many prompts are drawn at a time changes memory and nothing else', async () => {
  expect(metricsOf(await grpo('miniBatches: 1, promptsAtOnce: 3'))).toEqual(metricsOf(await grpo('miniBatches: 1')));
});

test.each(['clip', 'sequence', 'cispo'])(
  'the method %s starts at ratio 1, and passes over a rollout leave it',
  async (method) => {
    const directory = await grpo(`method: ${method}, miniBatches: 1, epochs: 3`);
    expect(first(directory, 'ratioDifference')).toBeLessThan(1e-5);
    // The measure is of the last pass but of all passes' tokens.
    expect(Math.abs(first(directory, 'kl'))).toBeGreaterThan(1e-6);
    expect(first(directory, 'gradientNorm')).toBeGreaterThan(0);
  },
);

test('a dual bound and a wide upper one', async () => {
  const directory = await grpo('clipLow: 1e-4, clipHigh: 0.3, dualClip: 1.0001, miniBatches: 1, epochs: 2');
  // The second pass finds nearly every token with a negative advantage beyond one of its bounds.
  expect(first(directory, 'clipFraction')).toBeGreaterThan(0.1);
});

describe('estimators', () => {
  test.each(['rloo', 'reinforce++', 'remax'])('%s', async (estimator) => {
    const directory = await grpo(`estimator: ${estimator}`);
    expect(first(directory, 'gradientNorm')).toBeGreaterThan(0);
    expect(first(directory, 'ratioDifference')).toBeLessThan(1e-5);
  });

  test('ReMax learns nothing from prompts whose likeliest drawing was not judged', async () => {
    // The first call judges the drawings, the second one the likeliest.
    const rewards = '[{ use: faulty, fault: throws, from: 2, onError: drop }]';
    const directory = await grpo('estimator: remax', { rewards });
    expect(first(directory, 'reward')).toBeGreaterThan(0);
    expect(first(directory, 'groups')).toBe(0);
  });

  test('rewards normalized by themselves: a reward a hundred times as small counts as much', async () => {
    const rewards = '[is-color, { use: faulty, name: other, fault: half-blind, weight: 0.01 }]';
    const [sum, apart] = [
      await grpo('miniBatches: 1', { rewards }),
      await grpo('miniBatches: 1, decoupled: true', { rewards }),
    ];
    expect(first(sum, 'reward')).toBe(first(apart, 'reward'));
    expect(first(sum, 'gradientNorm')).not.toBe(first(apart, 'gradientNorm'));
  });
});

describe('guidance while drawing', () => {
  test('means the same in the scorer, whose gradient may leave the unconditional branch alone', async () => {
    const both = await grpo('guidance: 2.5');
    expect(first(both, 'ratioDifference')).toBeLessThan(5e-5);
    const detached = await grpo('guidance: 2.5, detachUnconditional: true');
    // The same drawings, another gradient. Logits are guided, not the states in front of the head, so the last bits are others as well.
    expect(first(detached, 'reward')).toBe(first(both, 'reward'));
    expect(first(detached, 'ratioDifference')).toBeLessThan(5e-5);
    expect(first(detached, 'gradientNorm')).not.toBeCloseTo(first(both, 'gradientNorm'), 5);
  });
});

test('old log-probabilities computed again instead of taken from the sampler: the same run but for rounding', async () => {
  const [sampler, scorer] = [await grpo('miniBatches: 1'), await grpo('miniBatches: 1, oldLogProbability: scorer')];
  // The very difference that the first update of the other run found.
  expect(first(scorer, 'ratioDifference')).toBeGreaterThan(0);
  expect(first(scorer, 'ratioDifference')).toBe(first(sampler, 'ratioDifference'));
  expect(first(scorer, 'gradientNorm') / first(sampler, 'gradientNorm')).toBeCloseTo(1, 4);
});

describe('a reference', () => {
  test('is the policy itself at first and is left as it learns; every reset brings it back', async () => {
    const stays = await grpo('miniBatches: 1, kl: { coefficient: 0.01 }', { steps: 4 });
    const follows = await grpo('miniBatches: 1, kl: { coefficient: 0.01, resetEvery: 1 }', { steps: 4 });
    const [start = NaN, , , end = NaN] = curve(stays, 'referenceKl');
    expect(Math.abs(start)).toBeLessThan(1e-9);
    expect(end).toBeGreaterThan(1e-5);
    expect(Math.max(...curve(follows, 'referenceKl').map(Math.abs))).toBeLessThan(1e-9);
  });

  test('in the reward: every drawing pays for its distance; the coefficient holds a target', async () => {
    const directory = await grpo('kl: { coefficient: 0.5, place: reward, estimator: k1, target: 1e-3, horizon: 24 }', {
      steps: 2,
    });
    const coefficients = curve(directory, 'klCoefficient');
    expect(Math.abs(first(directory, 'referenceKl'))).toBeLessThan(1e-5);
    // At no distance the error is -0.2 over 24 drawings of a horizon of 24.
    expect(coefficients[0]).toBeCloseTo(0.5 * 0.8, 6);
    expect(first(directory, 'gradientNorm')).toBeGreaterThan(0);
  });

  test('of random weights is those weights, made again; no file is looked for', async () => {
    const text = (more: string): string =>
      `rewards: [{ use: faulty, fault: half-blind }]\noptimizer: { use: adamw, learningRate: 2e-3 }\nrecipe: { use: grpo, weights: random, steps: 1, prompts: 2, groupSize: 4, miniBatches: 1, refillRounds: 0, rationaleTokens: 6, imageTemperature: 1, samplesEvery: 0, kl: { coefficient: 0.01 }${more} }\n`;
    const { directory } = await place.run(place.preset('random', text('')));
    expect(Math.abs(first(directory, 'referenceKl'))).toBeLessThan(1e-9);
    expect(JSON.parse(readFileSync(join(directory, 'run.json'), 'utf8'))).toMatchObject({
      hashes: { weights: 'random:3' },
    });
    // In four bits it is another model.
    const { directory: stored } = await place.run(place.preset('random', text(', storage: int4')));
    expect(Math.abs(first(stored, 'referenceKl'))).toBeGreaterThan(1e-9);
  });

  test('is kept as frozen weights are: in bf16 it takes less memory', async () => {
    const { directory } = await place.halfTaught();
    const planned = async (storage: string): Promise<number> => {
      const preset = place.preset(
        'planned',
        `rewards: [is-color]\noptimizer: { use: adamw, learningRate: 1e-3 }\nrecipe: { use: grpo, weights: ${directory}, steps: 1, rationaleTokens: 6, kl: { coefficient: 0.01 }, storage: ${storage} }\n`,
      );
      const loaded = await loadPreset(preset);
      return (await planStage(loaded, at(loaded.stages, 0), silentLog())).bytes['programs and sampler'] ?? NaN;
    };
    expect(await planned('bf16')).toBeLessThan(await planned('f32'));
  });

  test('is not made where its coefficient is 0', async () => {
    const [without, zero] = [await grpo('miniBatches: 1'), await grpo('miniBatches: 1, kl: { coefficient: 0 }')];
    expect(metricsOf(zero)).toEqual(metricsOf(without));
  });
});

test('a fixed coefficient pays for entropy or charges for it', async () => {
  const entropy = async (coefficient: number): Promise<number> => {
    const directory = await grpo(`textEntropyCoefficient: ${coefficient}, imageEntropyCoefficient: ${coefficient}`, {
      steps: 5,
    });
    return curve(directory, 'image/entropy').at(-1) ?? NaN;
  };
  expect(await entropy(-0.3)).toBeGreaterThan((await entropy(0.3)) * 1.2);
});

describe('weights of single tokens, by an extension', () => {
  const weigher = (rule: string): { more: string } => ({ more: `extensions: [{ use: weigher, rule: ${rule} }]\n` });

  test('decide which tokens learn', async () => {
    const [all, unsure] = [await grpo('miniBatches: 1'), await grpo('miniBatches: 1', weigher('unsure'))];
    expect(first(unsure, 'reward')).toBe(first(all, 'reward'));
    expect(first(unsure, 'gradientNorm')).toBeGreaterThan(0);
    expect(first(unsure, 'gradientNorm')).not.toBeCloseTo(first(all, 'gradientNorm'), 4);
    await expect(grpo('miniBatches: 1', weigher('none'))).rejects.toMatchObject({ code: 'ZERO_GRADIENT' });
  });

  test('are refused where they do not fit the tokens', async () => {
    await expect(grpo('miniBatches: 1', weigher('short'))).rejects.toMatchObject({
      code: 'BAD_TOKEN_WEIGHTS',
      message: expect.stringMatching(/gave \d+ token weights for drawing 0, which has \d+ tokens/),
    });
  });
});

test('adapters: the model without them is the reference, at no cost', async () => {
  const directory = await grpo('miniBatches: 1, lora: { rank: 4, alpha: 8 }, kl: { coefficient: 0.01 }', { steps: 3 });
  expect(Math.max(...curve(directory, 'ratioDifference').filter(Number.isFinite))).toBeLessThan(1e-5);
  const [start = NaN, , end = NaN] = curve(directory, 'referenceKl');
  expect(Math.abs(start)).toBeLessThan(1e-9);
  expect(end).toBeGreaterThan(1e-7);
});

test.each([
  ['lora: { rank: 4, dropout: 0.5 }', /dropout would make the scorer describe another policy/],
  ['storage: bf16, kl: { coefficient: 0.1, resetEvery: 2 }', /a reference that is reset is a copy of the policy/],
])('%s is refused', async (recipe, message) => {
  await expect(grpo(recipe)).rejects.toMatchObject({ message: expect.stringMatching(message) as string, exitCode: 2 });
});

test('prompts of files, by weight and over-long ones counted; held-out files are judged by the rewards', async () => {
  const prompts = place.write(
    'swatches.jsonl',
    ['red', 'green', 'blue', 'yellow']
      .map((color) => JSON.stringify({ prompt: `a ${color} picture`, task: 'color', color }))
      .join('\n'),
  );
  const wordy = place.write('wordy.txt', `a ${'very '.repeat(60)}red picture\na white picture\n`);
  const held = place.write(
    'held.jsonl',
    ['one picture in black', 'a red picture']
      .map((prompt) => JSON.stringify({ prompt, color: prompt.split(' ').at(-1) }))
      .join('\n'),
  );
  const { directory, lines } = await place.run(
    place.preset(
      'files',
      `dataset: null\nbenchmarks: []\nrewards: [is-color]\noptimizer: { use: adamw, learningRate: 1e-3 }\nrecipe: { use: grpo, weights: ${(await place.halfTaught()).directory}, steps: 2, prompts: 4, groupSize: 4, refillRounds: 0, rationaleTokens: 12, imageTemperature: 1, evaluations: 3, promptFiles: [{ file: ${prompts}, weight: 3 }, { file: ${wordy} }], evaluationFiles: [{ file: ${held} }], evaluationSampling: { textTemperature: 0, imageTemperature: 0 }, keepBest: { metric: pass/evaluation-files/heldout } }\n`,
    ),
  );
  expect(lines).toContainEqual(expect.stringMatching(/held\.jsonl: 1 prompts; 1 lines left out/));
  expect(curve(directory, 'promptsTooLong').reduce((sum, count) => sum + count, 0)).toBeGreaterThan(0);
  expect(lines.filter((line) => line.includes('heldout'))).toHaveLength(2);
  // The last checkpoint was saved again with its pass rate, and is the best there is.
  expect(JSON.parse(readFileSync(join(directory, 'checkpoints/best.json'), 'utf8'))).toMatchObject({
    checkpoint: 'step-000002',
    score: expect.any(Number),
  });
});
