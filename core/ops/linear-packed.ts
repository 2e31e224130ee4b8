/**
 * The products of `linear` with a weight in fewer bits (f16, bf16, int8, int4): widened on load, all arithmetic in f32. They differ
 * from f32 products of the values that are stored by nothing but the order of sums. No feature of the adapter is needed for it.
 */
import type { Tape } from '../autograd/tape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { tiles, type Product } from './linear-tiles.ts';
import { packing } from './weight-rows.ts';

/** out = a · weightᵀ (+ bias). */
export function packedForward(
  tape: Tape,
  { a, weight, out, rows, columns, inner }: Product,
  bias: Tensor | undefined,
): void {
  const HAS_BIAS = bias !== undefined;
  if (hasHalfTiles(tape, weight) && inner % 8 === 0) {
    tape.launch({
      // linear/nt-half-broadcast-8, linear/nt-half-broadcast-16
      kernel: `linear/nt-half-broadcast-${tileRows(rows)}`,
      constants: { HAS_BIAS, BRAIN: weight.type === 'bf16' },
      bindings: { x: a, weight, bias: bias ?? a, out },
      params: { rows, columns, inner },
      groups: tiles(columns, rows, tileRows(rows)),
    });
    return;
  }
  const { constants, scales } = packing(weight);
  tape.launch({
    kernel: 'linear/packed-portable',
    constants: { ...constants, HAS_BIAS },
    bindings: { a, b: weight, scales, bias: bias ?? a, addend: a, out },
    params: { rows, columns, inner, b_column: inner, b_inner: 1 },
    groups: tiles(columns, rows, 32),
  });
}

/** out = a · weight (+ addend): how a gradient goes through a frozen weight. */
export function packedInputGradient(
  tape: Tape,
  { a, weight, out, rows, columns, inner }: Product,
  addend: Tensor | undefined,
): void {
  const HAS_ADDEND = addend !== undefined;
  if (hasHalfTiles(tape, weight) && inner % 4 === 0 && columns % 4 === 0) {
    tape.launch({
      // linear/nn-half-broadcast-8, linear/nn-half-broadcast-16
      kernel: `linear/nn-half-broadcast-${tileRows(rows)}`,
      constants: { HAS_ADDEND, BRAIN: weight.type === 'bf16' },
      bindings: { a, b: weight, addend: addend ?? a, out },
      params: { rows, columns, inner },
      groups: tiles(columns, rows, tileRows(rows)),
    });
    return;
  }
  const { constants, scales } = packing(weight);
  tape.launch({
    kernel: 'linear/packed-portable',
    constants: { ...constants, HAS_ADDEND },
    bindings: { a, b: weight, scales, bias: a, addend: addend ?? a, out },
    params: { rows, columns, inner, b_column: 1, b_inner: columns },
    groups: tiles(columns, rows, 32),
  });
}

function hasHalfTiles(tape: Tape, { type }: Tensor): boolean {
  return tape.device.hasBroadcastTiles && (type === 'f16' || type === 'bf16');
}

/** Both sizes sum every row in the same order. */
function tileRows(rows: number): 8 | 16 {
  return rows > 8 ? 16 : 8;
}
