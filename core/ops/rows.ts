/** Moving whole rows by index lists, and the sums that go back through them. */
import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, isPacked, sizeOf, type Tensor } from '../tensor/tensor.ts';
import { rowVectors } from './row-vectors.ts';
import { packing } from './weight-rows.ts';

export { weightRows } from './weight-rows.ts';

/**
 * x [N, D], rows u32 [M] → [M, D]: out[m] = x[rows[m]]. A row may be named more than once.
 * Backward: dX[n] = Σ dOut[m] over the m that name n, in rising order of m.
 */
export function gatherRows(tape: Tape, x: Tensor, rows: Tensor): Tensor {
  const out = gather(tape, x, rows);
  tape.differentiable([x], out, (dOut) => {
    const dX = tape.empty(`d ${x.name}`, x.shape);
    sumNamedRows(tape, dOut, rows, dX, false);
    return [dX];
  });
  return out;
}

/** Rows x [Nx, D] and where each of them goes, u32 [Nx]. */
export interface PlacedRows {
  readonly x: Tensor;
  readonly rows: Tensor;
}

/**
 * Several [Nx, D] laid into one [count, D]: out[rows[i]] = x[i]. Every row of the output must be named exactly once.
 * Backward: dX = dOut[rows].
 */
export function mergeRows(tape: Tape, parts: readonly PlacedRows[], count: number): Tensor {
  const [first] = parts;
  if (first === undefined) throw new RangeError('mergeRows: nothing to merge');
  const columns = dimension(first.x, -1);
  const { width, alias } = rowVectors(columns);
  const named = parts.reduce((sum, { rows }) => sum + sizeOf(rows.shape), 0);
  if (named !== count) throw new RangeError(`mergeRows: ${named} rows are given for ${count}`);
  const out = tape.empty('merged rows', [count, columns]);
  for (const { x, rows } of parts) {
    if (dimension(x, -1) !== columns)
      throw new RangeError(`mergeRows: ${first.x.name} [${first.x.shape}] and ${x.name} [${x.shape}] differ in width`);
    const entries = sizeOf(rows.shape);
    tape.launch({
      kernel: 'rows/scatter',
      constants: alias,
      bindings: { x, rows, out },
      params: { count: entries, width },
      groups: grid(Math.ceil((entries * width) / 64)),
    });
  }
  tape.differentiable(
    parts.map(({ x }) => x),
    out,
    (dOut, needs) => parts.map(({ rows }, index) => (needs[index] ? gather(tape, dOut, rows) : undefined)),
  );
  return out;
}

/**
 * x [N, D], part [M, D], rows u32 [M] that all differ → [N, D]: x with part[m] added to row rows[m].
 * Backward: dX = dOut, dPart = dOut[rows].
 */
export function addRows(tape: Tape, x: Tensor, part: Tensor, rows: Tensor): Tensor {
  const columns = dimension(x, -1);
  const { width, alias } = rowVectors(columns);
  const entries = sizeOf(rows.shape);
  const count = sizeOf(x.shape);
  if (sizeOf(part.shape) !== entries * columns)
    throw new RangeError(`addRows: ${part.name} [${part.shape}] is not ${entries} rows of ${x.name} [${x.shape}]`);
  const out = tape.empty(`${x.name} with rows`, x.shape);
  tape.launch({
    kernel: 'pointwise/scale',
    bindings: { x, out },
    params: { count, factor: 1 },
    groups: grid(Math.ceil(count / 256)),
  });
  tape.launch({
    kernel: 'rows/scatter',
    constants: { ...alias, ACCUMULATE: true },
    bindings: { x: part, rows, out },
    params: { count: entries, width },
    groups: grid(Math.ceil((entries * width) / 64)),
  });
  tape.differentiable([x, part], out, (dOut, needs) => [
    needs[0] ? dOut : undefined,
    needs[1] ? gather(tape, dOut, rows) : undefined,
  ]);
  return out;
}

/** out[m] = x[rows[m]] in f32, however x is stored and in how many parts; no backward. */
export function gather(tape: Tape, x: Tensor, rows: Tensor): Tensor {
  const columns = dimension(x, -1);
  const { width, alias } = rowVectors(columns);
  const count = sizeOf(rows.shape);
  const out = tape.empty(`${x.name} rows`, [count, columns]);
  let first = 0;
  for (const part of x.shards ?? [x]) {
    // Nothing is asked of a whole table; a row of another part is left to that one.
    const size = x.shards === undefined ? 0xffffffff : dimension(part, 0);
    const shared = { params: { count, width, first, size }, groups: grid(Math.ceil((count * width) / 64)) };
    if (isPacked(part.type) && columns % 4 !== 0) {
      if (part.scales !== undefined)
        throw new RangeError(
          `${x.name} [${x.shape}] is stored as ${part.type}: its rows must have a multiple of 4 columns`,
        );
      tape.launch({
        kernel: 'rows/gather-halves',
        constants: { BRAIN: part.type === 'bf16' },
        bindings: { x: part, rows, out },
        ...shared,
      });
    } else if (isPacked(part.type)) {
      const { constants, scales } = packing(part);
      tape.launch({ kernel: 'rows/gather-packed', constants, bindings: { x: part, scales, rows, out }, ...shared });
    } else tape.launch({ kernel: 'rows/gather', constants: alias, bindings: { x: part, rows, out }, ...shared });
    first += size;
  }
  return out;
}

/** out[r] (+)= Σ value[m] over the m with rows[m] == first + r, in rising order. */
export function sumNamedRows(
  tape: Tape,
  value: Tensor,
  rows: Tensor,
  out: Tensor,
  accumulate: boolean,
  first = 0,
): void {
  const size = dimension(out, 0);
  const count = sizeOf(rows.shape);
  const { width, alias } = rowVectors(dimension(out, -1));
  const heads = tape.empty('list heads', [size], 'u32');
  const next = tape.empty('list links', [count], 'u32');
  tape.launch({
    kernel: 'rows/link',
    bindings: { rows, heads, next },
    params: { count, size, first },
    groups: grid(Math.ceil(size / 64)),
  });
  tape.launch({
    kernel: 'rows/sum',
    constants: { ...alias, ACCUMULATE: accumulate },
    bindings: { value, heads, next, out },
    params: { size, width },
    groups: grid(Math.ceil((size * width) / 64)),
  });
}
