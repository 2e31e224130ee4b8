/** The judge of ops is itself judged: it must reject wrong values, wrong gradients and gradients that overwrite. */
import { describe, expect, test } from 'vitest';
import type { Tape } from '../../../core/autograd/tape.ts';
import { gelu } from '../../../core/ops/gelu.ts';
import { linear } from '../../../core/ops/linear.ts';
import type { Tensor } from '../../../core/tensor/tensor.ts';
import { at, checkOp, randomFloats } from '../../../core/testing.ts';
import { testDevice } from '../../ops/device.ts';

const device = await testDevice();
const inputs = { a: { shape: [12], data: randomFloats(12, 1) }, b: { shape: [12], data: randomFloats(12, 2) } };

/** a + b whose backward is whatever the test wants to be found out. */
function sum(tape: Tape, a: Tensor, b: Tensor, backward: (dOut: Tensor) => (Tensor | undefined)[]): Tensor {
  const out = tape.empty('sum', a.shape);
  tape.launch({ kernel: 'pointwise/add', bindings: { a, b, sum: out }, params: { count: 12 }, groups: [1, 1, 1] });
  tape.differentiable([a, b], out, backward);
  return out;
}
const exact = (values: { a: Float64Array; b: Float64Array }): Float64Array =>
  values.a.map((value, index) => value + at(values.b, index));

describe('checkOp', () => {
  test('accepts a right op', async () => {
    await checkOp({ device, inputs, op: (tape, { a, b }) => sum(tape, a, b, (dOut) => [dOut, dOut]), oracle: exact });
  });

  test('rejects a wrong value', async () => {
    const wrong = checkOp({
      device,
      inputs,
      op: (tape, { a, b }) => sum(tape, a, b, (dOut) => [dOut, dOut]),
      oracle: ({ a, b }) => exact({ a, b }).map((value) => value * 1.0001),
    });
    await expect(wrong).rejects.toThrow(/^value/);
  });

  test('rejects a wrong gradient, and names its input', async () => {
    const wrong = checkOp({
      device,
      inputs,
      op: (tape, { a, b }) => sum(tape, a, b, (dOut) => [dOut, gelu(tape, dOut)]),
      oracle: exact,
    });
    await expect(wrong).rejects.toThrow(/^gradient of b/);
  });

  test('rejects a missing gradient', async () => {
    const wrong = checkOp({
      device,
      inputs,
      op: (tape, { a, b }) => sum(tape, a, b, (dOut) => [undefined, dOut]),
      oracle: exact,
    });
    await expect(wrong).rejects.toThrow(/^gradient of a/);
  });

  test('rejects a weight gradient that overwrites instead of adding', async () => {
    const shapes = {
      x: { shape: [3, 4], data: randomFloats(12, 1) },
      weight: { shape: [4, 4], data: randomFloats(16, 2) },
    };
    const wrong = checkOp({
      device,
      inputs: shapes,
      op: (tape, { x, weight }) => {
        const gradient = tape.gradientOf(weight);
        // The gradient is set to x · weight in every run, whatever was there.
        if (gradient !== undefined) tape.copy(linear(tape, weight, weight), gradient);
        const out = linear(tape, x, weight);
        return out;
      },
      oracle: ({ x, weight }) =>
        Float64Array.from({ length: 12 }, (_, i) =>
          [0, 1, 2, 3].reduce((total, k) => total + at(x, Math.floor(i / 4) * 4 + k) * at(weight, (i % 4) * 4 + k), 0),
        ),
    });
    await expect(wrong).rejects.toThrow(/^gradient of weight after two runs/);
  });

  test('rejects an output of another size', async () => {
    const wrong = checkOp({
      device,
      inputs,
      op: (tape, { a, b }) => sum(tape, a, b, (dOut) => [dOut, dOut]),
      oracle: () => new Float64Array(3),
    });
    await expect(wrong).rejects.toThrow(/the oracle has 3 values/);
  });
});
