import { describe, expect, test } from 'vitest';
import { philox } from '../../../core/tensor/philox.ts';

/** The known answers that the authors of the generator publish (Random123, kat_vectors). */
describe('Philox4x32-10 gives the published answers', () => {
  test.each([
    { counter: [0, 0, 0, 0], key: [0, 0], words: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8] },
    {
      counter: [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      key: [0xffffffff, 0xffffffff],
      words: [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    },
    {
      counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      key: [0xa4093822, 0x299f31d0],
      words: [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    },
  ] as const)('counter $counter', ({ counter, key, words }) => {
    expect(philox(counter, key)).toEqual(words);
  });

  test('one bit of the counter or of the key changes half of the bits', () => {
    const base = philox([1, 2, 3, 4], [5, 6]);
    for (const other of [philox([0, 2, 3, 4], [5, 6]), philox([1, 2, 3, 5], [5, 6]), philox([1, 2, 3, 4], [5, 7])]) {
      const flipped = base.reduce((sum, word, index) => sum + bitCount(word ^ (other[index] ?? 0)), 0);
      expect(flipped).toBeGreaterThan(40);
      expect(flipped).toBeLessThan(88);
    }
  });
});

function bitCount(word: number): number {
  return (word >>> 0).toString(2).replaceAll('0', '').length;
}
