import { describe, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/program.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { rmsNorm } from '../../core/ops/rms-norm.ts';
import { at, checkOp, randomFloats } from '../../core/testing.ts';
import { testDevices } from './device.ts';

describe.each(await testDevices())('rmsNorm, %s', (_name, device) => {
  test.each([
    [1, 4],
    [3, 12],
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
      op: (tape, { x, weight }) => rmsNorm(tape, x, weight, 1e-5),
      oracle: ({ x, weight }) => {
        const out = new Float64Array(rows * columns);
        for (let row = 0; row < rows; row++) {
          const values = x.subarray(row * columns, (row + 1) * columns);
          const scale = 1 / Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / columns + 1e-5);
          values.forEach((value, column) => {
            out[row * columns + column] = value * scale * at(weight, column);
          });
        }
        return out;
      },
    });
  });

  test('refuses a weight of another width', () => {
    const tape = new Tape(new Workspace(device));
    expect(() => rmsNorm(tape, tape.empty('x', [2, 8]), tape.empty('weight', [4]), 1e-6)).toThrow(/equal widths/);
  });
});
