/** Sums over the last axis, sum and mean of everything, in an order that is always the same. */
import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, sizeOf, type Tensor } from '../tensor/tensor.ts';

/** x [..., D] → [...]: Σ over the last axis. Gradient: dOut, to every element of the row. */
export function sumRows(tape: Tape, x: Tensor): Tensor {
  const columns = dimension(x, -1);
  return reduce(tape, x, x.shape.slice(0, -1), sizeOf(x.shape) / columns, columns, 1);
}

/** Any shape → [1]: everything summed. Gradient: dOut, to every element. */
export function sumAll(tape: Tape, x: Tensor): Tensor {
  return total(tape, x, 1);
}

/** Any shape → [1]: the mean of everything. Gradient: dOut over the count, to every element. */
export function meanAll(tape: Tape, x: Tensor): Tensor {
  return total(tape, x, 1 / sizeOf(x.shape));
}

/** In runs of 4096, and runs of those, so that no workgroup walks alone over a large tensor. */
function total(tape: Tape, x: Tensor, factor: number): Tensor {
  const run = 4096;
  const count = sizeOf(x.shape);
  const rows = Math.ceil(count / run);
  return rows === 1
    ? reduce(tape, x, [1], 1, count, factor)
    : total(tape, reduce(tape, x, [rows], rows, run, 1), factor);
}

function reduce(
  tape: Tape,
  x: Tensor,
  shape: readonly number[],
  rows: number,
  columns: number,
  factor: number,
): Tensor {
  const out = tape.empty(`${x.name} summed`, shape);
  const count = sizeOf(x.shape);
  tape.launch({
    kernel: 'reduction/sum-rows',
    bindings: { x, out },
    params: { rows, columns, count, factor },
    groups: grid(rows),
  });
  tape.differentiable([x], out, (dOut) => {
    const dX = tape.empty(`d ${x.name}`, x.shape);
    tape.launch({
      kernel: 'reduction/spread-rows',
      bindings: { value: dOut, out: dX },
      params: { columns, count, factor },
      groups: grid(Math.ceil(count / 64)),
    });
    return [dX];
  });
  return out;
}
