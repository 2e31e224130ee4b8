/** Low-rank adapters: against the merged weight in float64, over weights of every storage, and what dropout leaves out. */
import { describe, expect, test } from 'vitest';
import { AdaptedWeights, adapterSpecs, isAdapterName } from '../../core/weights/adapters.ts';
import { ParameterSet, type WeightStorage } from '../../core/weights/parameters.ts';
import { Workspace } from '../../core/autograd/workspace.ts';
import type { Launch } from '../../core/autograd/launch.ts';
import { Tape } from '../../core/autograd/tape.ts';
import type { Device } from '../../core/gpu/device.ts';
import { embedding } from '../../core/ops/embedding.ts';
import { linear } from '../../core/ops/linear.ts';
import { weightRows } from '../../core/ops/rows.ts';
import { reshape, type Tensor } from '../../core/tensor/tensor.ts';
import { at, checkOp, randomFloats } from '../../core/testing.ts';
import { testDevices } from './device.ts';
import { storedWeight } from './stored-weight.ts';

/** x · (weight + scale · up · down)ᵀ + bias. */
function oracle(
  inputs: { x: Float64Array; down: Float64Array; up: Float64Array; bias?: Float64Array },
  weight: ArrayLike<number>,
  scale: number,
  [rows, columns, inner, rank]: readonly number[],
): Float64Array {
  const [n = 0, k = 0, r = 0] = [columns, inner, rank];
  const merged = Float64Array.from({ length: n * k }, (_, index) => {
    const [column, i] = [Math.floor(index / k), index % k];
    let sum = 0;
    for (let j = 0; j < r; j++) sum += at(inputs.up, column * r + j) * at(inputs.down, j * k + i);
    return at(weight, index) + scale * sum;
  });
  return Float64Array.from({ length: (rows ?? 0) * n }, (_, index) => {
    const [row, column] = [Math.floor(index / n), index % n];
    let sum = inputs.bias === undefined ? 0 : at(inputs.bias, column);
    for (let i = 0; i < k; i++) sum += at(inputs.x, row * k + i) * at(merged, column * k + i);
    return sum;
  });
}

// [storage, rows, columns, inner, rank]; ranks that no vec4 path takes, tiles of 8, 16 and 32 rows.
const sizes: readonly (readonly [WeightStorage, number, number, number, number])[] = [
  ['f32', 1, 1, 1, 1],
  ['f32', 9, 36, 20, 4],
  ['bf16', 17, 33, 24, 3],
  ['f16', 131, 36, 8, 8],
  ['int8', 5, 12, 64, 16],
  ['int4', 33, 35, 128, 5],
];

describe.each(await testDevices())('adapters, %s', (_name, device) => {
  test.each(sizes)('over %s: %i rows, %i columns, %i inner, rank %i', async (storage, rows, columns, inner, rank) => {
    const weight = await storedWeight(device, [columns, inner], randomFloats(columns * inner, 2), storage);
    const scale = 0.7;
    await checkOp({
      device,
      inputs: {
        x: { shape: [rows, inner], data: randomFloats(rows * inner, 1) },
        down: { shape: [rank, inner], data: randomFloats(rank * inner, 3) },
        up: { shape: [columns, rank], data: randomFloats(columns * rank, 4) },
        bias: { shape: [columns], data: randomFloats(columns, 5) },
      },
      op: (tape, { x, down, up, bias }) => linear(tape, x, { ...weight.tensor, adapter: { down, up, scale } }, bias),
      oracle: (inputs) => oracle(inputs, weight.values, scale, [rows, columns, inner, rank]),
    });
    weight.set.close();
  });

  test('rows of a weight have those rows of its adapter, in parts as well', async () => {
    const [rows, columns, inner, rank] = [5, 320, 64, 4];
    for (const limit of [undefined, 64 * 64 * 4]) {
      const weight = await storedWeight(device, [columns, inner], randomFloats(columns * inner, 2), 'bf16', limit);
      await checkOp({
        device,
        inputs: {
          x: { shape: [rows, inner], data: randomFloats(rows * inner, 1) },
          down: { shape: [rank, inner], data: randomFloats(rank * inner, 3) },
          up: { shape: [columns, rank], data: randomFloats(columns * rank, 4) },
        },
        op: (tape, { x, down, up }) =>
          linear(tape, x, weightRows(tape, { ...weight.tensor, adapter: { down, up, scale: 2 } }, 96, 130)),
        oracle: ({ x, down, up }) =>
          oracle({ x, down, up: up.slice(96 * rank) }, weight.values.slice(96 * inner), 2, [rows, 130, inner, rank]),
      });
    }
  });

  test('a row does not depend on how many there are', async () => {
    const [columns, inner, rank] = [36, 44, 8];
    const specs = [{ name: 'w.weight', shape: [columns, inner], init: { normal: 1 } }];
    const set = new ParameterSet(device, [...specs, ...adapterSpecs(specs, { match: () => true, rank })], {
      seed: 1,
      storage: 'bf16',
    });
    device.write(set.get('w.lora_B.weight'), randomFloats(columns * rank, 4));
    const weight = new AdaptedWeights(set, set, { match: () => true, rank, alpha: 16 }).get('w.weight');
    const x = randomFloats(131 * inner, 3);
    const run = async (rows: number): Promise<Float32Array> => {
      const tape = new Tape(new Workspace(device));
      const out = tape.output(linear(tape, device.tensor('x', [rows, inner], 'f32', x.slice(0, rows * inner)), weight));
      (await tape.finish('adapter')).run();
      return device.readFloats(out);
    };
    const all = await run(131);
    for (const rows of [1, 8, 9, 128]) expect(await run(rows)).toEqual(all.slice(0, rows * columns));
  });

  test.each([0.25, 0.6])(
    'dropout of %f leaves out its share of the adapter, the same forward and backward',
    async (share) => {
      const [rows, inner] = [40, 50];
      const run = async (seedValue: number, key = 1): Promise<{ out: Float32Array; dX: Float32Array }> => {
        const tape = new Tape(new Workspace(device));
        const x = device.tensor('x', [rows, inner], 'f32', new Float32Array(rows * inner).fill(1));
        const dX = device.tensor('d x', x.shape);
        tape.watch(x, dX);
        const identity = device.tensor(
          'identity',
          [inner, inner],
          'f32',
          Float32Array.from({ length: inner * inner }, (_, index) => (index % (inner + 1) === 0 ? 1 : 0)),
        );
        // The weight below is zero, so that out is scale · the kept elements of x.
        const weight: Tensor = {
          ...device.tensor('w', [inner, inner]),
          adapter: {
            down: identity,
            up: identity,
            scale: 3,
            dropout: { share, seed: device.tensor('seed', [1], 'u32', Uint32Array.of(seedValue)), key },
          },
        };
        const out = linear(tape, x, weight);
        const kept = tape.output(out);
        tape.seed(out, device.tensor('d', [rows, inner], 'f32', new Float32Array(rows * inner).fill(1)));
        tape.backward();
        (await tape.finish('dropout')).run();
        return { out: await device.readFloats(kept), dX: await device.readFloats(dX) };
      };
      const first = await run(7);
      expect(first.dX).toEqual(first.out);
      const kept = Math.fround(3 * Math.fround(1 / (1 - share)));
      expect([...new Set(first.out)].sort((a, b) => a - b)).toEqual([0, expect.closeTo(kept, 5)]);
      const left = first.out.filter((value) => value === 0).length / first.out.length;
      expect(Math.abs(left - share)).toBeLessThan(0.045);
      expect((await run(7)).out).toEqual(first.out);
      expect((await run(8)).out).not.toEqual(first.out);
      expect((await run(7, 2)).out).not.toEqual(first.out);
    },
  );
});

describe('weights that carry adapters', async () => {
  const devices = await testDevices();
  const device = devices[0]?.[1] as Device;
  const specs = [
    { name: 'a.weight', shape: [8, 12], init: { normal: 1 } },
    { name: 'a.bias', shape: [8], init: { constant: 0 } },
    { name: 'b.weight', shape: [4, 8], init: { normal: 1 } },
  ];
  const use = { match: (name: string) => name.startsWith('a.'), rank: 2, alpha: 6 };

  test('adapters have the names of PEFT, begin with no effect, and are all that is trained', async () => {
    const more = adapterSpecs(specs, use);
    expect(more.map(({ name, shape }) => `${name} ${shape}`)).toEqual(['a.lora_A.weight 2,12', 'a.lora_B.weight 8,2']);
    const set = new ParameterSet(device, [...specs, ...more], { seed: 3, storage: 'bf16', trainable: isAdapterName });
    expect(set.names.filter((name) => set.isTrained(name))).toEqual(['a.lora_A.weight', 'a.lora_B.weight']);
    expect(set.get('a.weight').type).toBe('bf16');
    const adapted = new AdaptedWeights(set, set, use);
    expect(adapted.get('a.weight').adapter).toMatchObject({
      scale: 3,
      down: { shape: [2, 12], type: 'f32' },
      up: { shape: [8, 2] },
    });
    for (const name of ['a.bias', 'b.weight', 'a.lora_A.weight'])
      expect(adapted.get(name).adapter, name).toBeUndefined();
    expect((await set.readTensor('a.lora_B.weight')).every((value) => value === 0)).toBe(true);
    expect((await set.readTensor('a.lora_A.weight')).some((value) => value !== 0)).toBe(true);
    // Training them costs the gradients of the adapters and nothing of the frozen matrices.
    const tape = new Tape(new Workspace(device));
    set.watch(tape);
    const out = linear(tape, device.tensor('x', [3, 12]), adapted.get('a.weight'));
    const before = tape.recorded.length;
    tape.seed(out, device.tensor('d', [3, 8]));
    tape.backward();
    const kernels = tape.recorded.slice(before).filter((step): step is Launch => 'kernel' in step);
    expect(kernels.flatMap(({ bindings }) => Object.values(bindings).map(({ name }) => name))).not.toContain(
      'a.weight',
    );
  });

  test('what would lose an adapter refuses it', () => {
    const set = new ParameterSet(device, [...specs, ...adapterSpecs(specs, use)], { seed: 3 });
    const weight = new AdaptedWeights(set, set, use).get('a.weight');
    expect(() => reshape(weight, [96])).toThrow('a.weight [8,12] has parts or an adapter and keeps its shape');
    expect(() => embedding(new Tape(new Workspace(device)), weight, device.tensor('ids', [2], 'u32'))).toThrow(
      'a.weight has an adapter, which only linear adds',
    );
    const other = {
      ...weight,
      adapter: { ...(weight.adapter ?? { scale: 1, down: weight, up: weight }), up: set.get('b.weight') },
    };
    expect(() => linear(new Tape(new Workspace(device)), device.tensor('x', [3, 12]), other)).toThrow('does not fit');
  });
});
