import { describe, expect, test } from 'vitest';
import { resizeParts, rotaryBase } from '../../core/ops/heads.ts';
import { rotaryPowers } from '../../core/ops/rotary.ts';
import { at, checkOp, randomFloats } from '../../core/testing.ts';
import { testDevice } from './device.ts';

const device = await testDevice();

describe('resizeParts', () => {
  test.each([
    [1, 1, 5, 8],
    [7, 6, 5, 8],
    [67, 3, 12, 10],
    [3, 2, 4, 1],
  ])('%i rows of %i parts from %i to %i columns', async (rows, parts, from, to) => {
    await checkOp({
      device,
      inputs: { x: { shape: [rows, parts * from], data: randomFloats(rows * parts * from, 1) } },
      op: (tape, { x }) => resizeParts(tape, x, parts, to),
      oracle: ({ x }) =>
        Float64Array.from({ length: rows * parts * to }, (_, i) =>
          i % to < from ? at(x, Math.floor(i / to) * from + (i % to)) : 0,
        ),
    });
  });
});

test('the widened base turns every pair as the narrow head does', () => {
  const narrow = rotaryPowers(10000, 10);
  const wide = rotaryPowers(rotaryBase(10000, 10, 16), 16);
  for (const [name, value] of Object.entries(narrow))
    expect(Math.abs((wide[name] ?? NaN) / value - 1)).toBeLessThan(1e-12);
});
