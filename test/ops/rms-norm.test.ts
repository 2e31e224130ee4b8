import { describe, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { add } from '../../core/ops/add.ts';
import { rmsNorm } from '../../core/ops/rms-norm.ts';
import { at, checkOp, randomFloats } from '../../core/testing.ts';
import { testRowDevices } from './device.ts';

const epsilon = 1e-5;

function normed(x: Float64Array, weight: Float64Array): Float64Array {
  const columns = weight.length;
  const out = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += columns) {
    const values = x.subarray(start, start + columns);
    const scale = 1 / Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / columns + epsilon);
    values.forEach((value, column) => {
      out[start + column] = value * scale * at(weight, column);
    });
  }
  return out;
}

describe.each(await testRowDevices())('rmsNorm, %s', (_name, device) => {
  test.each([
    [1, 4],
    [3, 12],
    [5, 3],
    [35, 30],
    [31, 32],
    [33, 36],
    [67, 132],
  ])('%i rows of %i', async (rows, columns) => {
    await checkOp({
      device,
      inputs: {
        x: { shape: [rows, columns], data: randomFloats(rows * columns, 1, 3) },
        weight: { shape: [columns], data: randomFloats(columns, 2) },
      },
      op: (tape, { x, weight }) => rmsNorm(tape, x, weight, epsilon),
      oracle: ({ x, weight }) => normed(x, weight),
    });
  });

  test('adds to the gradient that a residual brings', async () => {
    await checkOp({
      device,
      inputs: {
        a: { shape: [9, 12], data: randomFloats(108, 1, 3) },
        b: { shape: [9, 12], data: randomFloats(108, 2, 3) },
        weight: { shape: [12], data: randomFloats(12, 3) },
      },
      op: (tape, { a, b, weight }) => {
        const x = add(tape, a, b);
        return add(tape, x, rmsNorm(tape, x, weight, epsilon));
      },
      oracle: ({ a, b, weight }) => {
        const x = a.map((value, index) => value + at(b, index));
        return normed(x, weight).map((value, index) => value + at(x, index));
      },
    });
  });

  test('refuses a weight of another width', () => {
    const tape = new Tape(new Workspace(device));
    expect(() => rmsNorm(tape, tape.empty('x', [2, 8]), tape.empty('weight', [4]), 1e-6)).toThrow(/widths differ/);
  });
});
