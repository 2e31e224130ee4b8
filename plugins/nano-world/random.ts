/**
 * Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
 * A stream is a pure function of (seed, purpose, index, visit), so the thousandth example costs as much as the
 * first and a resumed run draws the same data.
 */

/** A sequence of independent draws. */
export interface RandomStream {
  /** Uniform in [0, 1), multiples of 2^-32. */
  uniform(): number;
  /** Uniform integer in [0, bound), without bias; 1 ≤ bound ≤ 2^32. */
  below(bound: number): number;
  /** One entry of a list that is not empty. */
  pick<T>(list: readonly T[]): T;
  /** A new list with the same entries in random order. */
  shuffled<T>(list: readonly T[]): T[];
}

/** `seed`: integer in [0, 2^53). The others: integers in [0, 2^32). */
export function randomStream(seed: number, purpose: number, index: number, visit = 0): RandomStream {
  const seedLow = seed >>> 0;
  const seedHigh = Math.floor(seed / 2 ** 32) >>> 0;
  let block = 0;
  let words: readonly number[] = [];
  let used = 0;

  function word(): number {
    if (used === words.length) {
      words = philox([block++, index >>> 0, visit >>> 0, seedHigh], [seedLow, purpose >>> 0]);
      used = 0;
    }
    return words[used++] as number;
  }
  function below(bound: number): number {
    // Rejection keeps every value equally likely.
    const limit = 2 ** 32 - (2 ** 32 % bound);
    let value = word();
    while (value >= limit) value = word();
    return value % bound;
  }
  return {
    uniform: () => word() / 2 ** 32,
    below,
    pick<T>(list: readonly T[]): T {
      return list[below(list.length)] as T;
    },
    shuffled<T>(list: readonly T[]): T[] {
      const result = [...list];
      for (let last = result.length - 1; last > 0; last--) {
        const other = below(last + 1);
        [result[last], result[other]] = [result[other] as T, result[last] as T];
      }
      return result;
    },
  };
}

type Words4 = readonly [number, number, number, number];

/** Ten rounds of Philox4x32: counter and key of unsigned 32-bit words to four random words. */
export function philox(counter: Words4, key: readonly [number, number]): Words4 {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(0xd2511f53, c0);
    const low0 = Math.imul(0xd2511f53, c0) >>> 0;
    const high1 = multiplyHigh(0xcd9e8d57, c2);
    const low1 = Math.imul(0xcd9e8d57, c2) >>> 0;
    [c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1, (high0 ^ c3 ^ k1) >>> 0, low0];
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** Upper 32 bits of the 64-bit product of two unsigned words. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const other = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(other / 65536)) >>> 0;
}
