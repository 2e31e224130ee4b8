/**
 * Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
 * A stream is a pure function of (seed, purpose, index, visit), so the thousandth example costs as much as the
 * first and a resumed run draws the same data.
 */
import { philox } from '../../core/compute.ts';

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
export function drawStream(seed: number, purpose: number, index: number, visit = 0): RandomStream {
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
