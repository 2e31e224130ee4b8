import { afterAll, beforeAll, describe, test } from 'vitest';
import { openDevice, type Device } from '../../core/gpu/device.ts';
import { silu } from '../../core/ops/silu.ts';
import { checkOp, randomFloats } from '../../core/testing.ts';

describe('silu', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice();
  });
  afterAll(() => device.close());

  test.each([[[1]], [[7, 37]], [[2, 3, 5, 12]]])('%j', async (shape) => {
    const count = shape.reduce((product, n) => product * n, 1);
    await checkOp({
      device,
      inputs: { x: { shape, data: randomFloats(count, count, 8) } },
      op: (tape, { x }) => silu(tape, x),
      oracle: ({ x }) => x.map((value) => value / (1 + Math.exp(-value))),
    });
  });

  test('large negative values give zero, not NaN', async () => {
    await checkOp({
      device,
      inputs: { x: { shape: [4], data: Float32Array.of(-200, -90, 90, 200) } },
      op: (tape, { x }) => silu(tape, x),
      oracle: ({ x }) => x.map((value) => value / (1 + Math.exp(-value))),
    });
  });
});
