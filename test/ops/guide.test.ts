import { describe, expect, test } from 'vitest';
import { guide } from '../../core/ops/guide.ts';
import { at, checkOp, randomFloats } from '../../core/testing.ts';
import { testDevice } from './device.ts';

const device = await testDevice();

describe.each([1, 2.5, 5])('guidance %d', (weight) => {
  const scalar = device.scalar('guidance', weight);
  const inputs = {
    c: { shape: [7, 13], data: randomFloats(91, 1, 3) },
    u: { shape: [7, 13], data: randomFloats(91, 2, 3) },
  };
  const oracle = ({ c, u }: Readonly<Record<'c' | 'u', Float64Array>>): Float64Array =>
    c.map((value, index) => at(u, index) + weight * (value - at(u, index)));

  test('both branches learn', async () => {
    await checkOp({
      device,
      inputs,
      op: (tape, { c, u }) => guide(tape, c, u, { weight: scalar, detach: false }),
      oracle,
    });
  });

  test('the unconditional branch is held constant', async () => {
    await checkOp({
      device,
      inputs,
      fixed: ['u'],
      op: (tape, { c, u }) => guide(tape, c, u, { weight: scalar, detach: true }),
      oracle,
    });
  });
});

test('branches of different sizes are refused', async () => {
  const scalar = device.scalar('guidance', 2);
  const check = checkOp({
    device,
    inputs: { c: { shape: [4], data: randomFloats(4, 1) }, u: { shape: [3], data: randomFloats(3, 1) } },
    op: (tape, { c, u }) => guide(tape, c, u, { weight: scalar, detach: false }),
    oracle: ({ c }) => c,
  });
  await expect(check).rejects.toThrow(/differ/);
});
