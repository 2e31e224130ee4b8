import { expect, test } from 'vitest';
import { addInOrder } from '../../../plugins/mpi/communicator.ts';

test('parts are added in the order of ranks, each sum rounded to f32', () => {
  // (1 + 2^-24) + 2^-24 is 1, where 1 + (2^-24 + 2^-24) would be more.
  const tiny = 2 ** -24;
  const sum = new Float32Array(2);
  addInOrder(sum, Float32Array.of(1, tiny, tiny, tiny, tiny, 1));
  expect([...sum]).toEqual([1, Math.fround(1 + 2 * tiny)]);
});
