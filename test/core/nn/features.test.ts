import { describe, expect, test } from 'vitest';
import { placePictures } from '../../../core/nn/features.ts';

const placeholder = 9;

describe('where the tokens of a text with pictures stand', () => {
  test('a grid takes as many positions as its longer side, whatever the number of its vectors', () => {
    // 3 rows of 2: time stands still, rows and columns count.
    const grid = {
      vectors: 6,
      offsets: Uint32Array.of(0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 1, 1, 0, 2, 0, 0, 2, 1),
      extent: 3,
    };
    const ids = [4, 5, ...new Array<number>(6).fill(placeholder), 6];
    const { at, positions } = placePictures(ids, placeholder, [grid], 3);
    expect(at).toEqual([2, 3, 4, 5, 6, 7]);
    expect([...positions.positions]).toEqual(
      [
        [0, 0, 0],
        [1, 1, 1],
        [2, 2, 2],
        [2, 2, 3],
        [2, 3, 2],
        [2, 3, 3],
        [2, 4, 2],
        [2, 4, 3],
        [5, 5, 5],
      ].flat(),
    );
    expect(positions.next).toBe(6);
  });

  test('a picture whose vectors are tokens like others stands one behind the other, also next to another one', () => {
    const row = { vectors: 2, offsets: Uint32Array.of(0, 1), extent: 2 };
    const { at, positions } = placePictures([9, 9, 9, 9, 4], placeholder, [row, row], 1);
    expect(at).toEqual([0, 1, 2, 3]);
    expect([...positions.positions]).toEqual([0, 1, 2, 3, 4]);
    expect(positions.next).toBe(5);
  });
});
