import { at } from './at.ts';

/** ‖actual − expected‖ / ‖expected‖; the plain norm of the difference when `expected` is zero. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length)
    throw new RangeError(`${actual.length} values where ${expected.length} are expected`);
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (at(actual, i) - at(expected, i)) ** 2;
    norm += at(expected, i) ** 2;
  }
  return norm === 0 ? Math.sqrt(difference) : Math.sqrt(difference / norm);
}
