import { describe, test } from 'vitest';
import { add } from '../../core/ops/add.ts';
import { linear } from '../../core/ops/linear.ts';
import { at, checkOp, randomFloats } from '../../core/testing.ts';
import { testDevices } from './device.ts';

/** x [M, K] · weight [N, K]ᵀ + bias [N]. */
function oracle(
  x: Float64Array,
  weight: Float64Array,
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

// Tiles are 8 or 16 rows by 32 columns: sizes below, at and past their edges, and some that no vec4 path can take.
const sizes = [
  [1, 1, 1],
  [1, 4, 4],
  [7, 5, 3],
  [8, 32, 16],
  [9, 36, 20],
  [16, 33, 8],
  [17, 68, 12],
  [37, 64, 44],
  [3, 31, 7],
] as const;

describe.each(await testDevices())('linear, %s', (_name, device) => {
  test.each(sizes)('%i rows, %i columns, %i inner, with bias', async (rows, columns, inner) => {
    await checkOp({
      device,
      inputs: {
        x: { shape: [rows, inner], data: randomFloats(rows * inner, 1) },
        weight: { shape: [columns, inner], data: randomFloats(columns * inner, 2) },
        bias: { shape: [columns], data: randomFloats(columns, 3) },
      },
      op: (tape, { x, weight, bias }) => linear(tape, x, weight, bias),
      oracle: ({ x, weight, bias }) => oracle(x, weight, bias, rows, columns, inner),
    });
  });

  test.each([
    [5, 8, 12],
    [19, 36, 4],
    [3, 5, 7],
  ])('two layers read one value: %i rows, %i columns, %i inner', async (rows, columns, inner) => {
    await checkOp({
      device,
      inputs: {
        a: { shape: [rows, inner], data: randomFloats(rows * inner, 1) },
        b: { shape: [rows, inner], data: randomFloats(rows * inner, 2) },
        first: { shape: [columns, inner], data: randomFloats(columns * inner, 3) },
        second: { shape: [columns, inner], data: randomFloats(columns * inner, 4) },
      },
      op: (tape, { a, b, first, second }) => {
        const x = add(tape, a, b);
        return add(tape, linear(tape, x, first), linear(tape, x, second));
      },
      oracle: ({ a, b, first, second }) => {
        const x = a.map((value, index) => value + at(b, index));
        const added = first.map((value, index) => value + at(second, index));
        return oracle(x, added, undefined, rows, columns, inner);
      },
    });
  });

  test('without bias, three axes', async () => {
    await checkOp({
      device,
      inputs: {
        x: { shape: [3, 7, 12], data: randomFloats(252, 1) },
        weight: { shape: [20, 12], data: randomFloats(240, 2) },
      },
      op: (tape, { x, weight }) => linear(tape, x, weight),
      oracle: ({ x, weight }) => oracle(x, weight, undefined, 21, 20, 12),
    });
  });
});
