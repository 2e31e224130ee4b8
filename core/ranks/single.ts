import type { Communicator } from '../contracts/communicator.ts';

/** One process trains alone. */
export const single: Communicator = {
  rank: 0,
  size: 1,
  allGather: (bytes) => Promise.resolve([bytes]),
  reduceScatter: (values) => Promise.resolve(values),
  end: (failure) => Promise.resolve([failure]),
};
