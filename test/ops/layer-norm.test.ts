import { describe, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { add } from '../../core/ops/add.ts';
import { layerNorm } from '../../core/ops/layer-norm.ts';
import { at, checkOp, randomFloats } from '../../core/testing.ts';
import { testRowDevices } from './device.ts';

const epsilon = 1e-5;

function normed(x: Float64Array, weight: Float64Array, bias: Float64Array): Float64Array {
  const columns = weight.length;
  const out = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += columns) {
    const values = x.subarray(start, start + columns);
    const mean = values.reduce((sum, value) => sum + value, 0) / columns;
    const scale = 1 / Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / columns + epsilon);
    values.forEach((value, column) => {
      out[start + column] = (value - mean) * scale * at(weight, column) + at(bias, column);
    });
  }
  return out;
}

describe.each(await testRowDevices())('layerNorm, %s', (_name, device) => {
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
        bias: { shape: [columns], data: randomFloats(columns, 3) },
      },
      op: (tape, { x, weight, bias }) => layerNorm(tape, x, weight, bias, epsilon),
      oracle: ({ x, weight, bias }) => normed(x, weight, bias),
    });
  });

  test('adds to the gradient that a residual brings', async () => {
    await checkOp({
      device,
      inputs: {
        a: { shape: [9, 12], data: randomFloats(108, 1, 3) },
        b: { shape: [9, 12], data: randomFloats(108, 2, 3) },
        weight: { shape: [12], data: randomFloats(12, 3) },
        bias: { shape: [12], data: randomFloats(12, 4) },
      },
      op: (tape, { a, b, weight, bias }) => {
        const x = add(tape, a, b);
        return add(tape, x, layerNorm(tape, x, weight, bias, epsilon));
      },
      oracle: ({ a, b, weight, bias }) => {
        const x = a.map((value, index) => value + at(b, index));
        return normed(x, weight, bias).map((value, index) => value + at(x, index));
      },
    });
  });

  test('a mean far from zero costs no digits', async () => {
    const shape = [5, 64];
    await checkOp({
      device,
      inputs: {
        x: { shape, data: randomFloats(320, 1).map((value) => value + 1000) },
        weight: { shape: [64], data: randomFloats(64, 2) },
        bias: { shape: [64], data: randomFloats(64, 3) },
      },
      op: (tape, { x, weight, bias }) => layerNorm(tape, x, weight, bias, epsilon),
      oracle: ({ x, weight, bias }) => normed(x, weight, bias),
      // Around 1000, f32 values are 6e-5 apart, and so is the mean.
      valueTolerance: 1e-4,
      gradientTolerance: 1e-3,
    });
  });

  test('refuses a bias of another width', () => {
    const tape = new Tape(new Workspace(device));
    expect(() =>
      layerNorm(tape, tape.empty('x', [2, 8]), tape.empty('weight', [8]), tape.empty('bias', [4]), 1e-6),
    ).toThrow(/widths differ/);
  });
});
