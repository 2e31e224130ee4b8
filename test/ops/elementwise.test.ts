import { describe, test } from 'vitest';
import { add } from '../../core/ops/add.ts';
import { gelu } from '../../core/ops/gelu.ts';
import { swiglu } from '../../core/ops/swiglu.ts';
import { at, checkOp, randomFloats } from '../../core/testing.ts';
import { testDevice } from './device.ts';

const device = await testDevice();
const counts = [1, 3, 4, 255, 257, 1031];

/** erf by its Maclaurin series, or by its continued fraction where the series cancels; good to 1e-14. */
function erf(x: number): number {
  const z = Math.abs(x);
  if (z < 3) {
    let term = z;
    let sum = z;
    for (let n = 1; n < 120; n++) {
      term *= (-z * z) / n;
      sum += term / (2 * n + 1);
    }
    return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (z + fraction);
  return Math.sign(x) * (1 - Math.exp(-z * z) / (z + fraction) / Math.sqrt(Math.PI));
}

describe.each(counts)('%i elements', (count) => {
  test('gelu', async () => {
    await checkOp({
      device,
      inputs: { x: { shape: [count], data: randomFloats(count, 1, 5) } },
      op: (tape, { x }) => gelu(tape, x),
      oracle: ({ x }) => x.map((value) => value * 0.5 * (1 + erf(value / Math.SQRT2))),
    });
  });

  test('gelu in the form with tanh', async () => {
    await checkOp({
      device,
      inputs: { x: { shape: [count], data: randomFloats(count, 1, 5) } },
      op: (tape, { x }) => gelu(tape, x, 'tanh'),
      oracle: ({ x }) =>
        x.map((value) => value * 0.5 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (value + 0.044715 * value ** 3)))),
    });
  });

  test('swiglu', async () => {
    await checkOp({
      device,
      inputs: {
        gate: { shape: [count], data: randomFloats(count, 1, 6) },
        up: { shape: [count], data: randomFloats(count, 2, 2) },
      },
      op: (tape, { gate, up }) => swiglu(tape, gate, up),
      oracle: ({ gate, up }) => gate.map((value, index) => (value / (1 + Math.exp(-value))) * at(up, index)),
    });
  });

  test('add', async () => {
    await checkOp({
      device,
      inputs: {
        a: { shape: [count], data: randomFloats(count, 1) },
        b: { shape: [count], data: randomFloats(count, 2) },
      },
      op: (tape, { a, b }) => add(tape, a, b),
      oracle: ({ a, b }) => a.map((value, index) => value + at(b, index)),
    });
  });
});

test('gelu and swiglu stay finite far from zero', async () => {
  const data = Float32Array.of(-200, -90, -30, 30, 90, 200);
  const up = new Float32Array(6).fill(1);
  for (const form of ['exact', 'tanh'] as const) {
    await checkOp({
      device,
      inputs: { x: { shape: [6], data } },
      op: (tape, { x }) => gelu(tape, x, form),
      oracle: ({ x }) => x.map((value) => Math.max(value, 0)),
    });
  }
  await checkOp({
    device,
    inputs: { gate: { shape: [6], data }, up: { shape: [6], data: up } },
    op: (tape, inputs) => swiglu(tape, inputs.gate, inputs.up),
    oracle: (inputs) => inputs.gate.map((value, index) => (value / (1 + Math.exp(-value))) * at(inputs.up, index)),
  });
});

test('gelu is good to 1e-6 for small arguments too', async () => {
  await checkOp({
    device,
    inputs: { x: { shape: [400], data: randomFloats(400, 7, 0.02) } },
    op: (tape, { x }) => gelu(tape, x),
    oracle: ({ x }) => x.map((value) => value * 0.5 * (1 + erf(value / Math.SQRT2))),
  });
});
