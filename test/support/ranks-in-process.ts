/** Ranks that are no processes: each is an async function, and a call resolves when all have made it. */
import type { Communicator } from '../../core/contracts/communicator.ts';
import { at } from '../../core/tensor/at.ts';
import { addInOrder } from '../../plugins/mpi/communicator.ts';

/** What each rank's work has resolved with. */
export function onRanks<Result>(
  size: number,
  work: (communicator: Communicator) => Promise<Result>,
): Promise<Result[]> {
  let waiting: { bytes: Uint8Array; resolve: (all: Uint8Array[]) => void }[] = [];
  const meet = (rank: number, bytes: Uint8Array): Promise<Uint8Array[]> =>
    new Promise((resolve) => {
      waiting[rank] = { bytes: bytes.slice(), resolve };
      if (waiting.filter(Boolean).length < size) return;
      const all = waiting;
      waiting = [];
      for (const each of all) each.resolve(all.map((other) => other.bytes));
    });
  const rankOf = (rank: number): Communicator => ({
    rank,
    size,
    allGather: (bytes) => meet(rank, bytes),
    reduceScatter: async (values, counts) => {
      const start = counts.slice(0, rank).reduce((sum, count) => sum + count, 0);
      const all = await meet(rank, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
      const sum = new Float32Array(at(counts, rank));
      const parts = all.map(({ buffer }) => new Float32Array(buffer, start * 4, sum.length));
      for (const part of parts) addInOrder(sum, part);
      return sum;
    },
    end: (failure) => Promise.resolve(Array.from({ length: size }, () => failure)),
  });
  return Promise.all(Array.from({ length: size }, (_, rank) => work(rankOf(rank))));
}
