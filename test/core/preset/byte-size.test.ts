/** Sizes of memory as presets say them. */
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { byteSize, byteSizeBelow, parseByteSize } from '../../../core/preset/byte-size.ts';
import { loadPreset } from '../../../core/preset/load.ts';
import { root } from '../../support/runs.ts';

test.each([
  ['0 B', 0],
  ['7 B', 7],
  ['1KiB', 1024],
  ['512 MiB', 512 * 2 ** 20],
  ['1.5 GiB', 1.5 * 2 ** 30],
  ['0.3 KiB', 307],
  ['2 TiB', 2 ** 41],
])('%s is %d bytes', (size, bytes) => {
  expect(byteSize().parse(size)).toBe(size);
  expect(parseByteSize(size)).toBe(bytes);
});

test('the size below a number of bytes is below it, by at most a tenth, and can be read', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 45 }), (bytes) => {
      const size = byteSizeBelow(bytes);
      expect(byteSize().safeParse(size).success).toBe(true);
      expect(parseByteSize(size)).toBeLessThanOrEqual(bytes);
      expect(parseByteSize(size)).toBeGreaterThan(bytes * 0.9 - 1);
    }),
  );
  expect(byteSizeBelow(0)).toBe('0 B');
  expect(byteSizeBelow(2 ** 30 - 1)).toBe('1023 MiB');
});

const size = 'a size of memory is a number and one of B, KiB, MiB, GiB, TiB, such as 1.5 GiB';
test.each([
  ['{ budget: 2 GB }', `recipe.recompute.budget: "2 GB": ${size}`],
  ['{ budget: -1 MiB }', `recipe.recompute.budget: "-1 MiB": ${size}`],
  ['{ budget: 5 }', 'recipe.recompute: {"budget":5} is not true or false, and its budget is wrong: 5 is not a text'],
  [
    '{ bugdet: 1 GiB }',
    'recipe.recompute: {"bugdet":"1 GiB"} is not true or false, and its budget is missing; "bugdet" is not taken here',
  ],
  ['2 GiB', 'recipe.recompute: "2 GiB" is not true or false or a map'],
])('recompute: %s gets one message', async (value, message) => {
  const setting = `recipe.recompute=${value}`;
  const loading = loadPreset(join(root, 'presets/nano/sft.yaml'), { settings: [setting] });
  await expect(loading).rejects.toHaveProperty('message', `BAD_OPTION  --set ${setting}\n  ${message}.`);
});

test('recompute: a key that is not taken beside the budget is named, and what is taken', async () => {
  const loading = loadPreset(join(root, 'presets/nano/sft.yaml'), {
    settings: ['recipe.recompute={ budget: 2 GiB, keep: 3 }'],
  });
  await expect(loading).rejects.toThrow(
    /recipe\.recompute\.keep is not an option of recipe "sft"\. There is: budget\./,
  );
});
