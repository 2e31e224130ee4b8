/** Arrays for tests: reproducible values, element access that never yields undefined, and how far two arrays are apart. */
import { at } from '../tensor/at.ts';

export { relativeError } from '../tensor/relative-error.ts';

export { at };

/** A stream of uniform values in [0, 1) that depends on the seed only (mulberry32). */
export function randomStream(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `count` values spread evenly over (-scale, scale), already rounded to f32. */
export function randomFloats(count: number, seed: number, scale = 1): Float32Array {
  const random = randomStream(seed);
  return Float32Array.from({ length: count }, () => (random() * 2 - 1) * scale);
}

/** `count` whole numbers below `limit`. */
export function randomWords(count: number, seed: number, limit: number): Uint32Array {
  const random = randomStream(seed);
  return Uint32Array.from({ length: count }, () => Math.floor(random() * limit));
}

/** Largest |actual − expected|; NaN as soon as one of them is. */
export function maximumError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length)
    throw new RangeError(`${actual.length} values where ${expected.length} are expected`);
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(at(actual, i) - at(expected, i));
    if (Number.isNaN(error)) return error;
    largest = Math.max(largest, error);
  }
  return largest;
}
