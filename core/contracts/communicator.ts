/**
 * How the processes that train one model together speak to each other: "ranks", numbered from 0. Every rank makes the same calls in the
 * same order; one call at a time. A rank whose partners have not come yet waits without taking a core.
 */
export interface Communicator {
  readonly rank: number;
  /** How many ranks there are. */
  readonly size: number;
  /** The bytes of every rank, in the order of ranks, on every rank; they may be of different lengths. */
  allGather(bytes: Uint8Array): Promise<readonly Uint8Array[]>;
  /**
   * The sum over ranks of as many values on each, cut up: this rank gets `counts[rank]` values of it, behind those of the ranks before. Sums are
   * f32, ((rank 0 + rank 1) + rank 2) + …, so that they are the same bits in every run with as many ranks.
   */
  reduceScatter(values: Float32Array, counts: readonly number[]): Promise<Float32Array>;
  /**
   * The last call, on every rank, with what this rank has failed with. Resolves with what every rank has failed with, where all of them have come
   * this far; undefined where they have not, and this rank must not wait for them. A failure ends the waits of the others: RANK_FAILED.
   */
  end(failure?: string): Promise<readonly (string | undefined)[] | undefined>;
}
