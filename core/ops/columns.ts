/** Columns of matrices, copied. */
import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, sizeOf, type Tensor } from '../tensor/tensor.ts';

/** x [N, C] → [N, count]: columns first … first + count - 1. Backward: dX is dOut in these columns and zero elsewhere. */
export function columnsOf(tape: Tape, x: Tensor, first: number, count: number): Tensor {
  if (first < 0 || count < 1 || first + count > dimension(x, -1))
    throw new RangeError(`${x.name} [${x.shape}] has no columns ${first} to ${first + count}`);
  if (count === dimension(x, -1)) return x;
  const out = takeColumns(tape, x, first, count);
  tape.differentiable([x], out, (dOut) => {
    const dX = tape.empty(`d ${x.name}`, x.shape);
    const size = sizeOf(x.shape);
    tape.launch({
      kernel: 'pointwise/zero',
      bindings: { out: dX },
      params: { count: size },
      groups: grid(Math.ceil(size / 256)),
    });
    copyColumns(tape, dOut, dX, { count, to: first });
    return [dX];
  });
  return out;
}

/** Several x [N, Ci] side by side: [N, ΣCi]. Backward: each gets its columns of dOut. */
export function joinColumns(tape: Tape, parts: readonly Tensor[]): Tensor {
  const [first] = parts;
  if (first === undefined) throw new RangeError('joinColumns: nothing to join');
  if (parts.length === 1) return first;
  const rows = sizeOf(first.shape) / dimension(first, -1);
  const places = parts.map((part, index) => ({
    part,
    to: parts.slice(0, index).reduce((sum, before) => sum + dimension(before, -1), 0),
    count: dimension(part, -1),
  }));
  const total = places.reduce((sum, { count }) => sum + count, 0);
  const out = tape.empty('joined columns', [rows, total]);
  for (const { part, to, count } of places) {
    if (sizeOf(part.shape) !== rows * count)
      throw new RangeError(`joinColumns: ${part.name} [${part.shape}] does not have the ${rows} rows of ${first.name}`);
    copyColumns(tape, part, out, { count, to });
  }
  tape.differentiable(parts, out, (dOut, needs) =>
    places.map(({ to, count }, index) => (needs[index] ? takeColumns(tape, dOut, to, count) : undefined)),
  );
  return out;
}

/** The same as `columnsOf` without a way back. */
export function takeColumns(tape: Tape, x: Tensor, first: number, count: number): Tensor {
  const out = tape.empty(`${x.name} columns`, [...x.shape.slice(0, -1), count]);
  copyColumns(tape, x, out, { count, from: first });
  return out;
}

export interface ColumnCopy {
  readonly count: number;
  /** First column in the source and in the target; 0 unless told. */
  readonly from?: number;
  readonly to?: number;
  /** Added by column of the target. */
  readonly bias?: Tensor | undefined;
}

/** out[:, to + j] = x[:, from + j] (+ bias[to + j]) for j < count; no way back. */
export function copyColumns(tape: Tape, x: Tensor, out: Tensor, { count, from = 0, to = 0, bias }: ColumnCopy): void {
  const rows = sizeOf(x.shape) / dimension(x, -1);
  tape.launch({
    kernel: 'linear/copy-columns',
    constants: { HAS_BIAS: bias !== undefined },
    bindings: { x, bias: bias ?? x, out },
    params: { rows, count, x_columns: dimension(x, -1), x_first: from, out_columns: dimension(out, -1), out_first: to },
    groups: grid(Math.ceil((rows * count) / 64)),
  });
}
