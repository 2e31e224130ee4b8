/** The powers of two that weights are scaled by on tensor cores are found once a drawing. Runs where the adapter has matrices: `npm run verify:matrix`. */
import { describe, expect, test } from 'vitest';
import { Tape } from '../../../core/autograd/tape.ts';
import { Workspace } from '../../../core/autograd/workspace.ts';
import { MatrixProducts } from '../../../core/gpu/matrix-products.ts';
import { createSampler, type SampledSequence, type Sampler } from '../../../core/nn/sampler.ts';
import { usableShapes } from '../../../core/ops/linear-matrix.ts';
import { linear } from '../../../core/ops/linear.ts';
import { WeightExponents } from '../../../core/ops/weight-exponents.ts';
import { randomFloats } from '../../../core/testing.ts';
import { ParameterSet } from '../../../core/weights/parameters.ts';
import { testDevice } from '../../ops/device.ts';
import { SmallBackbone } from '../../support/small-backbone.ts';

const device = await testDevice();
const [shape] = usableShapes(device);
const small = { M: 8, N: 8, K: 8 };

describe.skipIf(shape === undefined)('exponents of weights', () => {
  const products = new MatrixProducts(device, shape ?? small, 'f16');
  const workspace = new Workspace(device, products);
  const backbone = new SmallBackbone();
  const plain = { temperature: 1, topK: 0, topP: 1 };

  const open = (weights: ParameterSet): Promise<Sampler> =>
    createSampler({
      device,
      workspace,
      backbone,
      weights,
      rows: 6,
      promptBudget: 4,
      textBudget: 9,
      imageCount: 11,
      special: { imageStart: 3, eos: 1 },
    });
  const draw = (sampler: Sampler): Promise<SampledSequence[]> =>
    sampler.sample({
      prompts: [
        [0, 7, 8, 9],
        [0, 5],
      ],
      samplesPerPrompt: 3,
      seed: 21,
      text: plain,
      image: plain,
      rationale: 'write',
    });

  test('a drawing behind a change of the weights is that of the new ones', async () => {
    const weights = new ParameterSet(device, backbone.parameters, { seed: 4 });
    const sampler = await open(weights);
    const first = await draw(sampler);
    // Scaled by the old powers of two what is 2^30 times as large would be past what f16 holds.
    const values = await weights.read();
    for (const [name, factor] of [
      ['v', 2 ** 30],
      ['o', 2 ** -30],
    ] as const) {
      const { data, ...rest } = values.get(name)!;
      values.set(name, { ...rest, data: data.map((value) => value * factor) });
    }
    weights.load(values, 'other sizes');
    const second = await draw(sampler);
    const fresh = await open(weights);
    expect(second).toEqual(await draw(fresh));
    // Powers of two alone: what is drawn stays as it was.
    expect(second.map(({ codes }) => codes)).toEqual(first.map(({ codes }) => codes));
    weights.load(
      new Map((await weights.read()).set('image head', { shape: [18, 32], data: randomFloats(18 * 32, 1) })),
      'another head',
    );
    const third = await draw(sampler);
    expect(third).not.toEqual(second);
    const another = await open(weights);
    expect(third).toEqual(await draw(another));
    for (const made of [sampler, fresh, another]) made.close();
    weights.close();
  });

  test('weights are read for it once a drawing, not when a sampler is opened', async () => {
    const weights = new ParameterSet(device, backbone.parameters, { seed: 4 });
    // Operands are counted when their exponents are found.
    await products.takeCounts();
    const sampler = await open(weights);
    expect((await products.takeCounts()).values).toBe(0);
    await draw(sampler);
    const first = await products.takeCounts();
    await draw(sampler);
    expect(await products.takeCounts()).toEqual(first);
    expect(first.values).toBeGreaterThan(0);
    sampler.close();
    weights.close();
  });

  test('a product reads a weight once, and gives the bits of one that finds the exponents itself', async () => {
    const [rows, columns, inner] = [5, 40, 24];
    const x = device.tensor('x', [rows, inner], 'f32', randomFloats(rows * inner, 1));
    const weight = device.tensor('weight', [columns, inner], 'f32', randomFloats(columns * inner, 2, 1e-6));
    const kept = new WeightExponents(workspace, products);
    await kept.refresh();
    const run = async (on: Workspace): Promise<{ out: Float32Array; kernels: string[] }> => {
      const tape = new Tape(on);
      const out = tape.output(linear(tape, x, weight));
      const program = await tape.finish('product');
      await kept.complete();
      program.run();
      return {
        out: await device.readFloats(out),
        kernels: tape.recorded.flatMap((step) => ('kernel' in step ? [String(step.kernel)] : [])),
      };
    };
    const alone = await run(workspace);
    const short = await run(kept.workspace);
    expect(short.out).toEqual(alone.out);
    expect(alone.kernels).toEqual(['linear/matrix-exponents', 'linear/matrix-exponents', 'linear/matrix']);
    expect(short.kernels).toEqual(['linear/matrix-exponents', 'linear/matrix']);
    // Without being told of it they stay those of the old values.
    device.write(
      weight,
      randomFloats(columns * inner, 3, 1e-6).map((value) => value * 2 ** 40),
    );
    expect((await run(kept.workspace)).out).not.toEqual((await run(workspace)).out);
    await kept.refresh();
    expect((await run(kept.workspace)).out).toEqual((await run(workspace)).out);
    kept.close();
  });
});
