import { describe, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { batchedProduct } from '../../core/ops/batched-product.ts';
import { at, checkOp, randomFloats } from '../../core/testing.ts';
import { testDevice, testDevices } from './device.ts';

// [batch, rows, columns, inner]: one, primes, past the tiles of four; the last with more workgroups than fit one dimension.
const sizes = [
  [1, 1, 1, 1],
  [3, 4, 8, 4],
  [5, 7, 3, 11],
  [2, 13, 17, 5],
] as const;

describe.each(await testDevices())('batched product, %s', (_name, device) => {
  test.each(sizes)('%i matrices: %i rows, %i columns, %i inner', async (batch, rows, columns, inner) => {
    await checkOp({
      device,
      inputs: {
        a: { shape: [batch, rows, inner], data: randomFloats(batch * rows * inner, 1) },
        b: { shape: [batch, columns, inner], data: randomFloats(batch * columns * inner, 2) },
      },
      op: (tape, { a, b }) => batchedProduct(tape, a, b),
      oracle: ({ a, b }) =>
        Float64Array.from({ length: batch * rows * columns }, (_, index) => {
          const s = Math.floor(index / (rows * columns));
          const row = s * rows + (Math.floor(index / columns) % rows);
          const column = s * columns + (index % columns);
          let sum = 0;
          for (let k = 0; k < inner; k++) sum += at(a, row * inner + k) * at(b, column * inner + k);
          return sum;
        }),
    });
  });

  test('a matrix that does not fit is refused', () => {
    const tape = new Tape(new Workspace(device));
    expect(() => batchedProduct(tape, device.tensor('a', [2, 3, 4]), device.tensor('b', [2, 5, 3]))).toThrow(
      'a [2,3,4] does not fit b [2,5,3]',
    );
  });
});

test('more tiles than one dimension of workgroups holds', { timeout: 60_000 }, async () => {
  const device = await testDevice();
  const batch = 65536 * 64 + 3;
  const a = randomFloats(batch, 1);
  const b = new Float32Array(batch).fill(2);
  const tape = new Tape(new Workspace(device));
  const out = tape.output(
    batchedProduct(tape, device.tensor('a', [batch, 1, 1], 'f32', a), device.tensor('b', [batch, 1, 1], 'f32', b)),
  );
  (await tape.finish('many')).run();
  const found = await device.readFloats(out);
  expect(found.findIndex((value, index) => value !== 2 * at(a, index))).toBe(-1);
});
