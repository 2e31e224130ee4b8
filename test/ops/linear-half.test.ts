/** Products with weights stored as f16. The oracle has the rounded weights, so the tolerances are those of f32 arithmetic. */
import { describe, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/program.ts';
import { Tape } from '../../core/autograd/tape.ts';
import type { Device } from '../../core/gpu/device.ts';
import { add } from '../../core/ops/add.ts';
import { embedding } from '../../core/ops/embedding.ts';
import { linear } from '../../core/ops/linear.ts';
import { weightRows } from '../../core/ops/rows.ts';
import { at, checkOp, fromHalves, randomFloats, randomWords, relativeError, toHalves, type OpInput } from '../../core/testing.ts';
import { testDevices } from './device.ts';

function oracle(x: Float64Array, weight: Float64Array, bias: Float64Array | undefined, rows: number, columns: number, inner: number): Float64Array {
  return Float64Array.from({ length: rows * columns }, (_, index) => {
    const row = Math.floor(index / columns);
    const column = index % columns;
    let sum = bias === undefined ? 0 : at(bias, column);
    for (let k = 0; k < inner; k++) sum += at(x, row * inner + k) * at(weight, column * inner + k);
    return sum;
  });
}

/** Random halves, among them subnormal ones, both zeros and the largest. */
function halves(shape: readonly number[], seed: number): OpInput {
  const data = toHalves(randomFloats(shape.reduce((product, n) => product * n, 1), seed));
  [0x8000, 0x0001, 0x83ff, 0x0400].forEach((bits, index) => {
    if (index + 2 < data.length) data[index + 2] = bits;
  });
  return { shape, data };
}

// [rows, columns, inner]: at and past the edges of tiles; inner sizes that fill whole eights, whole fours, whole pairs, and no pair.
const sizes = [
  [1, 1, 1],
  [1, 4, 8],
  [7, 5, 3],
  [8, 32, 16],
  [9, 36, 20],
  [16, 33, 8],
  [17, 68, 24],
  [37, 64, 40],
  [5, 31, 6],
  [33, 35, 7],
] as const;

/** What a layer with an f16 weight gives for `x`, and the gradient of x for the derivative `slopes` of its output. */
async function run(device: Device, x: Float32Array, weight: Uint16Array, slopes: Float32Array, columns: number, inner: number): Promise<{ out: Float32Array; dX: Float32Array }> {
  const workspace = new Workspace(device);
  const tape = new Tape(workspace);
  const rows = x.length / inner;
  const input = device.tensor('x', [rows, inner], 'f32', x);
  const dX = device.tensor('d x', [rows, inner]);
  tape.watch(input, dX);
  const out = linear(tape, input, device.tensor('weight', [columns, inner], 'f16', weight));
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

describe.each(await testDevices())('weights as f16, %s', (_name, device) => {
  test.each(sizes)('linear: %i rows, %i columns, %i inner, with bias', async (rows, columns, inner) => {
    await checkOp({
      device,
      inputs: {
        x: { shape: [rows, inner], data: randomFloats(rows * inner, 1) },
        weight: halves([columns, inner], 2),
        bias: { shape: [columns], data: randomFloats(columns, 3) },
      },
      op: (tape, { x, weight, bias }) => linear(tape, x, weight, bias),
      oracle: ({ x, weight, bias }) => oracle(x, weight, bias, rows, columns, inner),
    });
  });

  test.each([[5, 8, 16], [19, 36, 4], [3, 5, 7]])('two layers read one value: %i rows, %i columns, %i inner', async (rows, columns, inner) => {
    await checkOp({
      device,
      inputs: {
        a: { shape: [rows, inner], data: randomFloats(rows * inner, 1) },
        b: { shape: [rows, inner], data: randomFloats(rows * inner, 2) },
        first: halves([columns, inner], 3),
        second: halves([columns, inner], 4),
      },
      op: (tape, { a, b, first, second }) => {
        const x = add(tape, a, b);
        return add(tape, linear(tape, x, first), linear(tape, x, second));
      },
      oracle: ({ a, b, first, second }) => {
        const x = a.map((value, index) => value + at(b, index));
        return oracle(x, first.map((value, index) => value + at(second, index)), undefined, rows, columns, inner);
      },
    });
  });

  test('linear reads the largest half and what is subnormal exactly', async () => {
    const weight = Uint16Array.of(0x7bff, 0xfbff, 0x0001, 0x8001, 0x03ff, 0x0400, 0x3c00, 0x8000);
    const identity = Float32Array.from({ length: 64 }, (_, index) => (index % 9 === 0 ? 1 : 0));
    const { out } = await run(device, identity, weight, new Float32Array(8), 1, 8);
    expect(out).toEqual(fromHalves(weight).map((value) => value + 0));
  });

  test.each([[24, 40], [44, 36], [7, 5]])('a row does not depend on how many there are, nor does its gradient: %i inner, %i columns', async (inner, columns) => {
    const x = randomFloats(37 * inner, 5);
    const slopes = randomFloats(37 * columns, 6);
    const weight = toHalves(randomFloats(columns * inner, 7));
    const all = await run(device, x, weight, slopes, columns, inner);
    for (const [start, count] of [[0, 1], [36, 1], [3, 8], [11, 9], [2, 17]] as const) {
      const part = await run(device, x.slice(start * inner, (start + count) * inner), weight, slopes.slice(start * columns, (start + count) * columns), columns, inner);
      expect(part.out).toEqual(all.out.slice(start * columns, (start + count) * columns));
      expect(part.dX).toEqual(all.dX.slice(start * inner, (start + count) * inner));
    }
  });

  test.each([[1, 4, 1], [5, 4, 3], [13, 12, 67], [512, 8, 257]])('embedding: %i rows of %i, %i ids', async (vocabulary, width, count) => {
    await checkOp({
      device,
      inputs: { table: halves([vocabulary, width], 1), ids: { shape: [count], data: randomWords(count, 2, vocabulary) } },
      op: (tape, { table, ids }) => embedding(tape, table, ids),
      oracle: ({ table, ids }) => Float64Array.from({ length: count * width }, (_, i) => at(table, at(ids, Math.floor(i / width)) * width + (i % width))),
    });
  });

  test('rows of a weight begin at their own bytes', async () => {
    await checkOp({
      device,
      inputs: { x: { shape: [9, 64], data: randomFloats(9 * 64, 1) }, weight: halves([7, 64], 2) },
      op: (tape, { x, weight }) => linear(tape, x, weightRows(tape, weight, 2, 5)),
      oracle: ({ x, weight }) => oracle(x, weight.slice(128), undefined, 9, 5, 64),
    });
    const weight = device.tensor('weight', [7, 64], 'f16');
    expect(() => weightRows(new Tape(new Workspace(device)), weight, 1, 2)).toThrow(/row 1 does not start at a multiple of 256 bytes/);
  });

  test('an op that cannot read halves refuses them instead of computing nonsense', async () => {
    const workspace = new Workspace(device);
    const tape = new Tape(workspace);
    const weight = device.tensor('table', [4, 8], 'f16', toHalves(randomFloats(32, 1)));
    tape.output(add(tape, device.tensor('x', [4, 8]), weight));
    await expect(tape.finish('sum')).rejects.toThrow(/"table" \[4,8\] is stored as f16, the kernel reads array</);
    expect(() => device.write(weight, new Float32Array(32))).toThrow('table is f16 and cannot take a Float32Array');
  });
});

test('the error of rounding is that of f16', () => {
  const values = randomFloats(10_000, 3);
  const error = relativeError(fromHalves(toHalves(values)), values);
  expect(error).toBeGreaterThan(1e-5);
  expect(error).toBeLessThan(2 ** -11);
});
