/**
 * table [V, D], f32 or f16, ids u32 [N] → f32 [N, D]: out[n] = table[ids[n]]; D % 4 == 0.
 * Backward: dTable[v] += Σ dOut[n] over the n with ids[n] == v, in rising order of n: no atomics, deterministic.
 */
import type { Tape } from '../autograd/tape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { gather, sumNamedRows } from './rows.ts';

export function embedding(tape: Tape, table: Tensor, ids: Tensor): Tensor {
  const out = gather(tape, table, ids);
  tape.differentiable([table], out, (dOut) => {
    const dTable = tape.gradientOf(table);
    if (dTable === undefined) throw new RangeError(`embedding: ${table.name} is not a weight`);
    sumNamedRows(tape, dOut, ids, dTable, true);
    return [undefined];
  });
  return out;
}
