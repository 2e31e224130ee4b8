/**
 * The products of `linear` with a weight stored in half precision: packed pairs, widened on load, all arithmetic in f32. They differ
 * from f32 products of the rounded weight by nothing but the order of sums. Reading halves needs no feature of the adapter.
 */
import type { Tape } from '../autograd/tape.ts';
import type { Tensor } from '../tensor/tensor.ts';

export interface HalfProduct {
  /** f32 [rows, inner] */
  readonly a: Tensor;
  /** f16 [columns, inner], or [inner, columns] for the gradient. */
  readonly weight: Tensor;
  /** f32 [rows, columns] */
  readonly out: Tensor;
  readonly rows: number;
  readonly columns: number;
  readonly inner: number;
}

/** out = a · weightᵀ (+ bias). */
export function halfForward(tape: Tape, { a, weight, out, rows, columns, inner }: HalfProduct, bias: Tensor | undefined): void {
  const HAS_BIAS = bias !== undefined;
  if (tape.device.hasBroadcastTiles && inner % 8 === 0) {
    tape.launch({
      kernel: `linear/nt-half-broadcast-${tileRows(rows)}`,
      constants: { HAS_BIAS },
      bindings: { x: a, weight, bias: bias ?? a, out },
      params: { rows, columns, inner },
      groups: [Math.ceil(columns / 32), Math.ceil(rows / tileRows(rows)), 1],
    });
    return;
  }
  tape.launch({
    kernel: 'linear/half-portable',
    constants: { HAS_BIAS },
    bindings: { a, b: weight, bias: bias ?? a, addend: a, out },
    params: { rows, columns, inner, b_column: inner, b_inner: 1 },
    groups: [Math.ceil(columns / 32), Math.ceil(rows / 32), 1],
  });
}

/** out = a · weight (+ addend): how a gradient goes through a frozen weight. */
export function halfInputGradient(tape: Tape, { a, weight, out, rows, columns, inner }: HalfProduct, addend: Tensor | undefined): void {
  const HAS_ADDEND = addend !== undefined;
  if (tape.device.hasBroadcastTiles && inner % 4 === 0 && columns % 4 === 0) {
    tape.launch({
      kernel: `linear/nn-half-broadcast-${tileRows(rows)}`,
      constants: { HAS_ADDEND },
      bindings: { a, b: weight, addend: addend ?? a, out },
      params: { rows, columns, inner },
      groups: [Math.ceil(columns / 32), Math.ceil(rows / tileRows(rows)), 1],
    });
    return;
  }
  tape.launch({
    kernel: 'linear/half-portable',
    constants: { HAS_ADDEND },
    bindings: { a, b: weight, bias: a, addend: addend ?? a, out },
    params: { rows, columns, inner, b_column: 1, b_inner: columns },
    groups: [Math.ceil(columns / 32), Math.ceil(rows / 32), 1],
  });
}

/** Both sizes sum every row in the same order. */
function tileRows(rows: number): 8 | 16 {
  return rows > 8 ? 16 : 8;
}
