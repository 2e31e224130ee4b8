/** Products with weights in fewer bits. The oracle has the values that are stored, so the tolerances are those of f32 arithmetic. */
import { describe, expect, test } from 'vitest';
import type { WeightStorage } from '../../core/weights/parameters.ts';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import type { Device } from '../../core/gpu/device.ts';
import { add } from '../../core/ops/add.ts';
import { embedding } from '../../core/ops/embedding.ts';
import { linear } from '../../core/ops/linear.ts';
import { weightRows } from '../../core/ops/rows.ts';
import type { Tensor } from '../../core/tensor/tensor.ts';
import { at, checkOp, fromHalves, randomFloats, randomWords } from '../../core/testing.ts';
import { testDevices } from './device.ts';
import { storedWeight } from './stored-weight.ts';

function oracle(
  x: Float64Array,
  weight: ArrayLike<number>,
  bias: Float64Array | undefined,
  rows: number,
  columns: number,
  inner: number,
): Float64Array {
  return Float64Array.from({ length: rows * columns }, (_, index) => {
    const row = Math.floor(index / columns);
    const column = index % columns;
    let sum = bias === undefined ? 0 : at(bias, column);
    for (let k = 0; k < inner; k++) sum += at(x, row * inner + k) * at(weight, column * inner + k);
    return sum;
  });
}

/** Random values, among them subnormal halves and both zeros. */
function values(count: number, seed: number): Float32Array {
  const data = randomFloats(count, seed);
  [-0, 2 ** -24, -(2 ** -15), 2 ** -14].forEach((value, index) => {
    if (index + 2 < count) data[index + 2] = value;
  });
  return data;
}

// [rows, columns, inner]: at and past the edges of tiles; inner sizes that fill whole eights, whole fours, whole pairs, and no pair.
const halfSizes = [
  [1, 1, 1],
  [7, 5, 3],
  [9, 36, 20],
  [17, 36, 32],
  [5, 31, 6],
  [33, 35, 8],
] as const;

// Codes come in groups of 64 along a row; other rows are stored as bf16.
const codeSizes = [
  [1, 1, 64],
  [9, 7, 128],
  [33, 35, 64],
] as const;

const storages: readonly WeightStorage[] = ['f16', 'bf16', 'int8', 'int4'];
const sizesOf = (storage: WeightStorage): readonly (readonly [number, number, number])[] =>
  storage.startsWith('int') ? codeSizes : halfSizes;
const cases = storages.flatMap((storage) => sizesOf(storage).map((sizes) => [storage, ...sizes] as const));

/** What a layer gives for `x`, and the gradient of x for the derivative `slopes` of its output. */
async function run(
  device: Device,
  x: Float32Array,
  weight: Tensor,
  slopes: Float32Array,
): Promise<{ out: Float32Array; dX: Float32Array }> {
  const [columns = 0, inner = 0] = weight.shape;
  const workspace = new Workspace(device);
  const tape = new Tape(workspace);
  const rows = x.length / inner;
  const input = device.tensor('x', [rows, inner], 'f32', x);
  const dX = device.tensor('d x', [rows, inner]);
  tape.watch(input, dX);
  const out = linear(tape, input, weight);
  const kept = tape.output(out);
  tape.seed(out, device.tensor('slopes', [rows, columns], 'f32', slopes));
  tape.backward();
  const program = await tape.finish('rows');
  program.run();
  const result = { out: await device.readFloats(kept), dX: await device.readFloats(dX) };
  program.dispose();
  workspace.close();
  return result;
}

describe.each(await testDevices())('weights in fewer bits, %s', (_name, device) => {
  test.each(cases)('linear, %s: %i rows, %i columns, %i inner, with bias', async (storage, rows, columns, inner) => {
    const weight = await storedWeight(device, [columns, inner], values(columns * inner, 2), storage);
    expect(weight.tensor.type).toBe(storage);
    await checkOp({
      device,
      inputs: {
        x: { shape: [rows, inner], data: randomFloats(rows * inner, 1) },
        bias: { shape: [columns], data: randomFloats(columns, 3) },
      },
      op: (tape, { x, bias }) => linear(tape, x, weight.tensor, bias),
      oracle: ({ x, bias }) => oracle(x, weight.values, bias, rows, columns, inner),
    });
    weight.set.close();
  });

  test.each(storages)('two layers read one value, %s', async (storage) => {
    const [rows, columns, inner] = [9, 12, 64];
    const first = await storedWeight(device, [columns, inner], randomFloats(columns * inner, 3), storage);
    const second = await storedWeight(device, [columns, inner], randomFloats(columns * inner, 4), storage);
    await checkOp({
      device,
      inputs: {
        a: { shape: [rows, inner], data: randomFloats(rows * inner, 1) },
        b: { shape: [rows, inner], data: randomFloats(rows * inner, 2) },
      },
      op: (tape, { a, b }) => {
        const x = add(tape, a, b);
        return add(tape, linear(tape, x, first.tensor), linear(tape, x, second.tensor));
      },
      oracle: ({ a, b }) =>
        oracle(
          a.map((value, index) => value + at(b, index)),
          Float64Array.from(first.values, (value, index) => value + at(second.values, index)),
          undefined,
          rows,
          columns,
          inner,
        ),
    });
  });

  test.each(['f16', 'bf16'] as const)(
    'linear reads the largest, the smallest and what is subnormal in %s exactly',
    async (storage) => {
      const bits =
        storage === 'f16'
          ? [0x7bff, 0xfbff, 0x0001, 0x8001, 0x03ff, 0x0400, 0x3c00, 0x8000]
          : [0x7f7f, 0xff7f, 0x0080, 0x8080, 0x3f80, 0x3f81, 0x4049, 0x8000];
      const expected =
        storage === 'f16'
          ? fromHalves(Uint16Array.from(bits))
          : new Float32Array(Uint32Array.from(bits, (half) => half << 16).buffer);
      const weight = await storedWeight(device, [1, 8], expected, storage);
      const identity = Float32Array.from({ length: 64 }, (_, index) => (index % 9 === 0 ? 1 : 0));
      const { out } = await run(device, identity, weight.tensor, new Float32Array(8));
      expect(out).toEqual(expected.map((value) => value + 0));
    },
  );

  test.each([
    ...(['f16', 'bf16'] as const).flatMap(
      (storage) =>
        [
          [storage, 32, 40],
          [storage, 7, 5],
        ] as const,
    ),
    ['int8', 64, 36],
    ['int4', 128, 5],
  ] as const)(
    'a row does not depend on how many there are, nor does its gradient: %s, %i inner, %i columns',
    async (storage, inner, columns) => {
      const x = randomFloats(37 * inner, 5);
      const slopes = randomFloats(37 * columns, 6);
      const { tensor } = await storedWeight(device, [columns, inner], randomFloats(columns * inner, 7), storage);
      const all = await run(device, x, tensor, slopes);
      for (const [start, count] of [
        [36, 1],
        [3, 8],
        [2, 17],
      ] as const) {
        const part = await run(
          device,
          x.slice(start * inner, (start + count) * inner),
          tensor,
          slopes.slice(start * columns, (start + count) * columns),
        );
        expect(part.out).toEqual(all.out.slice(start * columns, (start + count) * columns));
        expect(part.dX).toEqual(all.dX.slice(start * inner, (start + count) * inner));
      }
    },
  );

  test.each(storages)('what is not finite in an input reaches its own row and no other, %s', async (storage) => {
    const [rows, columns, inner] = [17, 33, 64];
    const { tensor } = await storedWeight(device, [columns, inner], randomFloats(columns * inner, 7), storage);
    const x = randomFloats(rows * inner, 5);
    const slopes = randomFloats(rows * columns, 6);
    x[3 * inner + 5] = Number.NaN;
    slopes[9 * columns + 32] = Number.POSITIVE_INFINITY;
    const { out, dX } = await run(device, x, tensor, slopes);
    const broken = (found: Float32Array, width: number): number[] =>
      Array.from({ length: rows }, (_, row) => row).filter(
        (row) => !found.slice(row * width, (row + 1) * width).every(Number.isFinite),
      );
    expect(broken(out, columns)).toEqual([3]);
    expect(broken(dX, inner)).toEqual([9]);
  });

  test.each([
    ['f16', 1, 4, 1],
    ['bf16', 5, 4, 3],
    ['f16', 13, 7, 67],
    ['bf16', 11, 30, 19],
    ['f16', 13, 12, 67],
    ['bf16', 512, 8, 257],
    ['int8', 5, 64, 9],
    ['int4', 33, 128, 70],
  ] as const)('embedding, %s: %i rows of %i, %i ids', async (storage, vocabulary, width, count) => {
    const table = await storedWeight(device, [vocabulary, width], values(vocabulary * width, 1), storage);
    await checkOp({
      device,
      inputs: { ids: { shape: [count], data: randomWords(count, 2, vocabulary) } },
      op: (tape, { ids }) => embedding(tape, table.tensor, ids),
      oracle: ({ ids }) =>
        Float64Array.from({ length: count * width }, (_, i) =>
          at(table.values, at(ids, Math.floor(i / width)) * width + (i % width)),
        ),
    });
  });

  test.each([
    ['f16', 64, 2],
    ['bf16', 64, 2],
    ['int8', 256, 1],
    ['int4', 1024, 4],
  ] as const)('rows of a weight begin at their own bytes, %s', async (storage, inner, start) => {
    const weight = await storedWeight(device, [9, inner], randomFloats(9 * inner, 2), storage);
    // Scales are bound too: only every so many rows begin where a binding may.
    const first = storage.startsWith('int') ? 4 : start;
    await checkOp({
      device,
      inputs: { x: { shape: [3, inner], data: randomFloats(3 * inner, 1) } },
      op: (tape, { x }) => linear(tape, x, weightRows(tape, weight.tensor, storage === 'int8' ? 0 : first, 5)),
      oracle: ({ x }) =>
        oracle(x, weight.values.slice((storage === 'int8' ? 0 : first) * inner), undefined, 3, 5, inner),
    });
    expect(() => weightRows(new Tape(new Workspace(device)), weight.tensor, 1, 2)).toThrow(
      /row 1 does not start at a multiple of 256 bytes/,
    );
  });

  test('an op that cannot read halves refuses them instead of computing nonsense', async () => {
    const tape = new Tape(new Workspace(device));
    const weight = await storedWeight(device, [4, 8], randomFloats(32, 1), 'bf16');
    tape.output(add(tape, device.tensor('x', [4, 8]), weight.tensor));
    await expect(tape.finish('sum')).rejects.toThrow(/"weight" \[4,8\] is stored as bf16, the kernel reads array</);
    expect(() => device.write(weight.tensor, new Float32Array(32))).toThrow(
      'weight is bf16 and cannot take a Float32Array',
    );
  });
});
