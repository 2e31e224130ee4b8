import { describe, test } from 'vitest';
import { linear } from '../../core/ops/linear.ts';
import { at, checkOp, randomFloats } from '../../core/testing.ts';
import { testDevices } from './device.ts';

/** x [M, K] · weight [N, K]ᵀ + bias [N]. */
function oracle(x: Float64Array, weight: Float64Array, bias: Float64Array | undefined, rows: number, columns: number, inner: number): Float64Array {
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
