import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, sizeOf, type Tensor } from '../tensor/tensor.ts';
import { rowVectors } from './row-vectors.ts';
import { sumNamedRows } from './rows.ts';

/**
 * Weighted sums of rows: table f32 [V, D], rows u32 [N, K], shares f32 [N, K] → [N, D]: out[n] = Σ_k shares[n, k] · table[rows[n, k]].
 * With K = 4 and the shares of the neighbors it is a table of places interpolated bilinearly.
 * Backward, by the table only: dTable[v] += Σ shares[n, k] · dOut[n] over the (n, k) that name v.
 */
export function embeddingBag(tape: Tape, table: Tensor, rows: Tensor, shares: Tensor): Tensor {
  const count = dimension(rows, 0);
  const named = dimension(rows, 1);
  const columns = dimension(table, 1);
  if (sizeOf(shares.shape) !== count * named)
    throw new RangeError(`embeddingBag: ${rows.name} [${rows.shape}] with ${shares.name} [${shares.shape}]`);
  if (table.type !== 'f32' || table.shards !== undefined || table.adapter !== undefined)
    throw new RangeError(`embeddingBag: ${table.name} is no f32 table in one piece without an adapter`);
  const { width, alias } = rowVectors(columns);
  const out = tape.empty(`${table.name} weighed`, [count, columns]);
  tape.launch({
    kernel: 'rows/weigh',
    constants: alias,
    bindings: { table, rows, shares, out },
    params: { count, named, width },
    groups: grid(Math.ceil((count * width) / 64)),
  });
  tape.differentiable([table], out, (dOut) => {
    const dTable = tape.gradientOf(table);
    if (dTable === undefined) throw new RangeError(`embeddingBag: ${table.name} is not a weight`);
    const spread = tape.empty(`d ${table.name} rows`, [count * named, columns]);
    tape.launch({
      kernel: 'rows/weigh-gradient',
      constants: alias,
      bindings: { d_out: dOut, shares, out: spread },
      params: { count: count * named, named, width },
      groups: grid(Math.ceil((count * named * width) / 64)),
    });
    sumNamedRows(tape, spread, rows, dTable, true);
    return [undefined];
  });
  return out;
}
