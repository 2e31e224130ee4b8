/** Linear layers of any size, storage, number of parts and adapter against float64, on every family of kernels. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { linear } from '../../core/ops/linear.ts';
import { quantizedGroup } from '../../core/tensor/quantized.ts';
import { at, randomFloats, relativeError } from '../../core/testing.ts';
import { testDevices } from './device.ts';
import { storedWeight } from './stored-weight.ts';

const layers = fc
  .record({
    rows: fc.integer({ min: 1, max: 70 }),
    columns: fc.integer({ min: 1, max: 70 }),
    inner: fc.integer({ min: 1, max: 40 }),
    storage: fc.constantFrom('f32' as const, 'f16' as const, 'bf16' as const, 'int8' as const, 'int4' as const),
    rank: fc.integer({ min: 0, max: 5 }),
    rowsOfParts: fc.integer({ min: 1, max: 80 }),
    seed: fc.integer({ min: 0, max: 1000 }),
  })
  // Rows of codes are whole groups.
  .map((layer) =>
    layer.storage.startsWith('int') ? { ...layer, inner: (layer.inner % 3) * quantizedGroup + quantizedGroup } : layer,
  );

describe.each(await testDevices())('any linear layer, %s', (_name, device) => {
  test('value and gradient of the input', { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(layers, async ({ rows, columns, inner, storage, rank, rowsOfParts, seed }) => {
        const x = randomFloats(rows * inner, seed);
        const slopes = randomFloats(rows * columns, seed + 1);
        const down = randomFloats(rank * inner, seed + 2);
        const up = randomFloats(columns * rank, seed + 3);
        const limit = Math.max(256, Math.ceil((rowsOfParts * inner * 4) / 256) * 256);
        const weight = await storedWeight(
          device,
          [columns, inner],
          randomFloats(columns * inner, seed + 4),
          storage,
          limit,
        );
        const adapter =
          rank === 0
            ? {}
            : {
                adapter: {
                  down: device.tensor('down', [rank, inner], 'f32', down),
                  up: device.tensor('up', [columns, rank], 'f32', up),
                  scale: 0.5,
                },
              };
        const workspace = new Workspace(device);
        const tape = new Tape(workspace);
        const input = device.tensor('x', [rows, inner], 'f32', x);
        const dX = device.tensor('d x', [rows, inner]);
        tape.watch(input, dX);
        const out = linear(tape, input, { ...weight.tensor, ...adapter });
        const kept = tape.output(out);
        tape.seed(out, device.tensor('slopes', [rows, columns], 'f32', slopes));
        tape.backward();
        const program = await tape.finish('any');
        program.run();

        const merged = Float64Array.from(weight.values, (value, index) => {
          let sum = 0;
          for (let j = 0; j < rank; j++)
            sum += at(up, Math.floor(index / inner) * rank + j) * at(down, j * inner + (index % inner));
          return value + 0.5 * sum;
        });
        const expected = new Float64Array(rows * columns);
        const gradient = new Float64Array(rows * inner);
        for (let row = 0; row < rows; row++) {
          for (let column = 0; column < columns; column++) {
            for (let k = 0; k < inner; k++) {
              expected[row * columns + column] =
                at(expected, row * columns + column) + at(x, row * inner + k) * at(merged, column * inner + k);
              gradient[row * inner + k] =
                at(gradient, row * inner + k) + at(slopes, row * columns + column) * at(merged, column * inner + k);
            }
          }
        }
        expect(relativeError(await device.readFloats(kept), expected)).toBeLessThan(1e-6);
        expect(relativeError(await device.readFloats(dX), gradient)).toBeLessThan(1e-6);
        program.dispose();
        workspace.close();
        weight.set.close();
      }),
      { numRuns: 25, seed: 11 },
    );
  });
});
