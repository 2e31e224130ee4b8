import type { Tape } from '../autograd/tape.ts';
import { dimension, type Tensor } from '../tensor/tensor.ts';
import { gather, sumNamedRows } from './rows.ts';

/**
 * table [V, D] of any type and in any number of parts, ids u32 [N] → f32 [N, D]: out[n] = table[ids[n]].
 * Backward: dTable[v] += Σ dOut[n] over the n with ids[n] == v, in rising order of n: no atomics, deterministic.
 */
export function embedding(tape: Tape, table: Tensor, ids: Tensor): Tensor {
  if (table.adapter !== undefined)
    throw new RangeError(`embedding: ${table.name} has an adapter, which only linear adds`);
  const out = gather(tape, table, ids);
  tape.differentiable([table], out, (dOut) => {
    let first = 0;
    for (const part of table.shards ?? [table]) {
      const dPart = tape.gradientOf(part);
      if (dPart === undefined) throw new RangeError(`embedding: ${part.name} is not a weight`);
      sumNamedRows(tape, dOut, ids, dPart, true, first);
      first += dimension(part, 0);
    }
    return [undefined];
  });
  return out;
}
