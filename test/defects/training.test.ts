/** Defects of the published code that concern updates, controllers and checkpoints; the numbers are those of the study's list. */
import { copyFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ParameterSet } from '../../core/weights/parameters.ts';
import { Workspace } from '../../core/autograd/workspace.ts';
import { loadCheckpoint } from '../support/checkpoints.ts';
import type { RunContext } from '../../core/contracts/recipe.ts';
import { openDevice, type Device } from '../../core/gpu/device.ts';
import { packSequences, type Sequence } from '../../core/nn/packing.ts';
import { TokenPrograms, eachKind } from '../../core/nn/token-program.ts';
import { grpoOptions } from '../../core/recipes/grpo/options.ts';
import { Reference } from '../../core/recipes/grpo/reference.ts';
import { rateFactor } from '../../core/training/schedule.ts';
import type { Training } from '../../core/training/training.ts';
import { janusBackbone } from '../../plugins/janus/backbone.ts';
import { checkpointOf, checkpoints, curve, Workplace } from '../support/runs.ts';

const place = new Workplace();

async function grpo(recipe: string): Promise<string> {
  const { directory } = await place.halfTaught();
  const text = 'rewards: [is-color]\noptimizer: { use: adamw, learningRate: 2e-3 }\n';
  return (
    await place.run(
      place.preset(
        'grpo',
        `${text}\nrecipe: { use: grpo, weights: ${directory}, prompts: 4, groupSize: 6, refillRounds: 0, rationaleTokens: 12, imageTemperature: 1, samplesEvery: 0, ${recipe} }\n`,
      ),
    )
  ).directory;
}

const first = (directory: string, name: string): number => curve(directory, name)[0] ?? NaN;

describe('entropy controllers', () => {
  const controller = (more: string): string => `textEntropy: { target: 1, rate: 0.01, bound: 0.3, ${more} }`;

  test('defect 8: the coefficient to start with is read', async () => {
    expect(
      first(await grpo(`steps: 1, miniBatches: 1, ${controller('initial: 0.05')}`), 'text/entropyCoefficient'),
    ).toBeCloseTo(0.05, 1);
    expect(
      Math.abs(first(await grpo(`steps: 1, miniBatches: 1, ${controller('initial: 0')}`), 'text/entropyCoefficient')),
    ).toBeLessThan(0.02);
  });

  test('defect 9: they move once per update however it is cut, and a checkpoint holds them', async () => {
    const [whole, cut] = [
      await grpo(`steps: 1, miniBatches: 1, ${controller('')}`),
      await grpo(`steps: 1, miniBatches: 1, microBatch: 5, ${controller('')}`),
    ];
    expect(first(cut, 'text/entropyCoefficient')).toBeCloseTo(first(whole, 'text/entropyCoefficient'), 7);
    expect(checkpointOf(cut, 1).state).toMatchObject({
      controllers: { text: { updates: 1, psi: expect.any(Number), firstMoment: expect.any(Number) } },
    });
  });
});

test('defect 10: gradients of micro-batches are averaged, not summed', async () => {
  const sft = (more: string): Promise<string> =>
    place
      .run(
        place.preset(
          'sft',
          `optimizer: { use: adamw, learningRate: 1e-3 }\nrecipe: { use: sft, steps: 1, batch: 16, examples: 16${more} }\n`,
        ),
      )
      .then(({ directory }) => directory);
  const [whole, cut] = [await sft(''), await sft(', microBatch: 2')];
  expect(first(cut, 'gradientNorm') / first(whole, 'gradientNorm')).toBeCloseTo(1, 4);
});

describe('weights', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice();
  });
  afterAll(() => device.close());

  test('defect 11: what is trained is f32, however the rest is stored', () => {
    const specs = [
      { name: 'a', shape: [64, 64], init: { normal: 1 } },
      { name: 'b', shape: [64, 64], init: { normal: 1 } },
    ];
    const set = new ParameterSet(device, specs, { seed: 1, storage: 'bf16', trainable: (name) => name === 'a' });
    expect([set.get('a').type, set.get('b').type]).toEqual(['f32', 'bf16']);
    set.close();
  });

  test('defect 13: blocks are computed again one by one: less memory, the same bits', async () => {
    const layers = 8;
    const backbone = janusBackbone('deep', {
      hidden: 32,
      layers,
      heads: 2,
      keyValueHeads: 2,
      mlp: 64,
      ropeTheta: 10000,
      normEpsilon: 1e-6,
      textVocabulary: 40,
      imageVocabulary: 16,
      codeDimension: 8,
    });
    const sequences = Array.from({ length: 6 }, (_, index): Sequence => ({
      text: [1, 2 + index, 3, 4, 5],
      firstTarget: 2,
      codes: [1, 2, 3, index],
      trailing: [],
    }));
    const measure = async (
      recompute: boolean,
    ): Promise<{ bytes: number; gradients: Map<string, { data: Float32Array }> }> => {
      const weights = new ParameterSet(device, backbone.parameters, { seed: 2, trainable: () => true });
      const workspace = new Workspace(device);
      const one = device.scalar('temperature', 1);
      const before = device.memory.bytes;
      const objective = eachKind((tape, kind, scored) => {
        const dOut = tape.device.tensor(
          `${kind} seeds`,
          scored.shape,
          'f32',
          new Float32Array(scored.shape.reduce((a, b) => a * b, 1)).fill(0.01),
        );
        return { dOut, inputs: {}, outputs: {} };
      });
      const programs = new TokenPrograms({
        name: 'deep',
        workspace,
        backbone,
        parameters: weights,
        temperature: { text: one, image: one },
        objective,
        recompute,
      });
      const { program } = await programs.prepare(packSequences(sequences));
      const bytes = device.memory.bytes - before;
      program.run();
      const gradients = await weights.read('gradients');
      await programs.close();
      workspace.close();
      weights.close();
      return { bytes, gradients };
    };
    const [kept, again] = [await measure(false), await measure(true)];
    expect(again.bytes).toBeLessThan(kept.bytes * 0.6);
    for (const [name, { data }] of kept.gradients) expect(again.gradients.get(name)?.data, name).toEqual(data);
  });
});

test('defect 12: what is frozen stays as it was, weight decay or not', async () => {
  const start = await place.halfTaught();
  const preset = place.preset(
    'frozen',
    `optimizer: { use: adamw, learningRate: 1e-2, weightDecay: 0.5 }\nrecipe: { use: sft, weights: ${start.directory}, steps: 2, batch: 8, examples: 8, freeze: ['*generation_embeddings*', '*layers.0.mlp*'] }\n`,
  );
  const { directory } = await place.run(preset);
  const [before, after] = [
    await loadCheckpoint(`${start.directory}/checkpoints/${checkpoints(start.directory).at(-1)}`),
    await loadCheckpoint(`${directory}/checkpoints/step-000002`),
  ];
  const moved = [...after.weights]
    .filter(
      ([name, { data }]) =>
        Buffer.compare(
          Buffer.from(data.buffer),
          Buffer.from(before.weights.get(name)?.data.buffer ?? new ArrayBuffer(0)),
        ) !== 0,
    )
    .map(([name]) => name);
  expect(moved.some((name) => /generation_embeddings|layers\.0\.mlp/.test(name))).toBe(false);
  expect(moved).toContain('lm_head.weight');
});

test('defect 14: the first update has the rate its schedule says', () => {
  const base = { minimumRate: 0, constantShare: 0 };
  expect(rateFactor(1, 100, { ...base, schedule: 'constant', warmup: 0 })).toBe(1);
  for (const schedule of ['constant', 'linear', 'cosine'] as const)
    expect(rateFactor(1, 100, { ...base, schedule, warmup: 10 })).toBeCloseTo(0.1, 9);
});

test('defect 15: no reference policy exists where its coefficient is 0', async () => {
  // Touching anything of the context would throw.
  const nothing = new Proxy(
    {},
    {
      get: (_, name) => {
        throw new Error(`asked for ${String(name)}`);
      },
    },
  );
  for (const kl of [undefined, { coefficient: 0 }]) {
    const choice = grpoOptions.parse({ steps: 1, ...(kl && { kl }) });
    expect(await Reference.open(nothing as RunContext, choice, nothing as Training)).toBeUndefined();
  }
  const choice = grpoOptions.parse({ steps: 1, kl: { coefficient: 0.1 } });
  await expect(Reference.open(nothing as RunContext, choice, nothing as Training)).rejects.toThrow(/asked for/);
});

test('defect 20: a run that has used all its prompts goes on with them, and its last step is saved', async () => {
  const directory = await grpo('steps: 3, pool: 2, saveEvery: 100');
  expect(checkpoints(directory)).toEqual(['step-000003']);
});

test('defect 28: the gradient norm of a step is the largest of its updates, not that of the last', async () => {
  // In the second pass nearly every token is clipped: its gradient is small.
  const clipped = 'steps: 1, miniBatches: 1, clipLow: 1e-7, clipHigh: 1e-7';
  const [once, twice] = [await grpo(`${clipped}, epochs: 1`), await grpo(`${clipped}, epochs: 2`)];
  expect(first(twice, 'gradientNorm')).toBeGreaterThanOrEqual(first(once, 'gradientNorm'));
  expect(first(twice, 'clipFraction')).toBeGreaterThan(first(once, 'clipFraction'));
});

test('defect 30: what a file or folder is called decides nothing', async () => {
  const { directory } = await place.halfTaught();
  const renamed = place.path('not-a-known-model.safetensors');
  copyFileSync(`${directory}/checkpoints/${checkpoints(directory).at(-1)}/weights.safetensors`, renamed);
  const preset = place.preset(
    'renamed',
    `recipe: { use: evaluate, weights: ${renamed}, splits: [heldout], count: 2, batch: 2, rationaleTokens: 12 }\n`,
  );
  expect((await place.run(preset)).code).toBe(0);
});
