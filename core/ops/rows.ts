/** Moving whole rows by index lists, and the sums that go back through them. Rows have a multiple of four columns. */
import { grid } from '../autograd/program.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, elementBytes, sizeOf, type Tensor } from '../tensor/tensor.ts';

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

/**
 * a [Na, D] and b [Nb, D] laid into one [count, D]: out[aRows[i]] = a[i], out[bRows[i]] = b[i].
 * Every row of the output must be named exactly once. Backward: dA = dOut[aRows], dB = dOut[bRows].
 */
export function mergeRows(tape: Tape, a: Tensor, aRows: Tensor, b: Tensor, bRows: Tensor, count: number): Tensor {
  const width = vectorWidth(a);
  const named = sizeOf(aRows.shape) + sizeOf(bRows.shape);
  if (named !== count) throw new RangeError(`mergeRows: ${named} rows are given for ${count}`);
  if (vectorWidth(b) !== width) throw new RangeError(`mergeRows: ${a.name} [${a.shape}] and ${b.name} [${b.shape}] differ in width`);
  const out = tape.empty('merged rows', [count, width * 4]);
  for (const [x, rows] of [[a, aRows], [b, bRows]] as const) {
    const entries = sizeOf(rows.shape);
    tape.launch({ kernel: 'rows/scatter', bindings: { x, rows, out }, params: { count: entries, width }, groups: grid(Math.ceil((entries * width) / 64)) });
  }
  tape.differentiable([a, b], out, (dOut, needs) => [
    needs[0] ? gather(tape, dOut, aRows) : undefined,
    needs[1] ? gather(tape, dOut, bRows) : undefined,
  ]);
  return out;
}

/**
 * Rows start … start + count - 1 of a weight as a weight of their own, without a copy; their gradient is that part of the whole's.
 * `start` rows must fill a multiple of 256 bytes, the alignment of a binding.
 */
export function weightRows(tape: Tape, weight: Tensor, start: number, count: number): Tensor {
  const view = rowRange(weight, start, count);
  const gradient = tape.gradientOf(weight);
  // At the start of the weight the tape already finds the gradient, by its bytes.
  if (gradient !== undefined && start > 0) tape.watch(view, rowRange(gradient, start, count));
  return view;
}

/** out[m] = x[rows[m]] in f32, also where x is stored as f16; no backward. */
export function gather(tape: Tape, x: Tensor, rows: Tensor): Tensor {
  const width = vectorWidth(x);
  const count = sizeOf(rows.shape);
  const out = tape.empty(`${x.name} rows`, [count, width * 4]);
  tape.launch({ kernel: x.type === 'f16' ? 'rows/gather-half' : 'rows/gather', bindings: { x, rows, out }, params: { count, width }, groups: grid(Math.ceil((count * width) / 64)) });
  return out;
}

/** out[r] (+)= Σ value[m] over the m with rows[m] == r, in rising order. */
export function sumNamedRows(tape: Tape, value: Tensor, rows: Tensor, out: Tensor, accumulate: boolean): void {
  const size = dimension(out, 0);
  const count = sizeOf(rows.shape);
  const width = vectorWidth(out);
  const heads = tape.empty('list heads', [size], 'u32');
  const next = tape.empty('list links', [count], 'u32');
  tape.launch({ kernel: 'rows/link', bindings: { rows, heads, next }, params: { count, size }, groups: grid(Math.ceil(size / 64)) });
  tape.launch({
    kernel: 'rows/sum',
    constants: { ACCUMULATE: accumulate },
    bindings: { value, heads, next, out },
    params: { size, width },
    groups: grid(Math.ceil((size * width) / 64)),
  });
}

function vectorWidth(tensor: Tensor): number {
  const columns = dimension(tensor, -1);
  if (columns % 4 !== 0) throw new RangeError(`${tensor.name} [${tensor.shape}]: rows must have a multiple of 4 columns`);
  return columns / 4;
}

function rowRange(tensor: Tensor, start: number, count: number): Tensor {
  if (!('buffer' in tensor.memory)) throw new RangeError(`${tensor.name} is not a weight`);
  const rows = dimension(tensor, 0);
  const rowBytes = (sizeOf(tensor.shape) / rows) * elementBytes(tensor.type);
  if (start < 0 || start + count > rows) throw new RangeError(`${tensor.name} [${tensor.shape}] has no rows ${start} to ${start + count}`);
  if ((start * rowBytes) % 256 !== 0) throw new RangeError(`${tensor.name}: row ${start} does not start at a multiple of 256 bytes`);
  return {
    ...tensor,
    name: `${tensor.name} from row ${start}`,
    shape: [count, ...tensor.shape.slice(1)],
    memory: { buffer: tensor.memory.buffer, offset: tensor.memory.offset + start * rowBytes },
  };
}
