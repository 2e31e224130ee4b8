/**
 * out[M, N] = x[M, K] · weight[N, K]ᵀ + bias[N].
 * Backward: dX = dOut · weight; dWeight += dOutᵀ · x; dBias += Σ_m dOut.
 * A weight may be stored as f16: see linear-half.ts.
 */
import type { Tape } from '../autograd/tape.ts';
import { dimension, sizeOf, type Tensor } from '../tensor/tensor.ts';
import { halfForward, halfInputGradient } from './linear-half.ts';

export function linear(tape: Tape, x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const inner = dimension(x, -1);
  const columns = dimension(weight, 0);
  const rows = sizeOf(x.shape) / inner;
  if (dimension(weight, 1) !== inner) throw new RangeError(`linear: ${x.name} [${x.shape}] does not fit ${weight.name} [${weight.shape}]`);
  const out = tape.empty(`${weight.name} out`, [...x.shape.slice(0, -1), columns]);
  forward(tape, x, weight, bias, out, rows, columns, inner);
  const inputs = bias === undefined ? [x, weight] : [x, weight, bias];
  tape.differentiable(inputs, out, (dOut, needs) => {
    const dWeight = tape.gradientOf(weight);
    if (dWeight !== undefined) transposedProduct(tape, dOut, x, dWeight, columns, inner, rows);
    const dBias = bias === undefined ? undefined : tape.gradientOf(bias);
    if (dBias !== undefined) {
      tape.launch({ kernel: 'linear/bias-gradient', bindings: { d_out: dOut, d_bias: dBias }, params: { rows, columns }, groups: [Math.ceil(columns / 64), 1, 1] });
    }
    return [needs[0] ? product(tape, dOut, weight, tape.takeGradient(x), x.shape, rows, inner, columns) : undefined];
  });
  return out;
}

function forward(tape: Tape, x: Tensor, weight: Tensor, bias: Tensor | undefined, out: Tensor, rows: number, columns: number, inner: number): void {
  if (weight.type === 'f16') {
    halfForward(tape, { a: x, weight, out, rows, columns, inner }, bias);
    return;
  }
  const HAS_BIAS = bias !== undefined;
  const bindings = { x, weight, bias: bias ?? weight, out };
  if (tape.device.hasBroadcastTiles && inner % 4 === 0) {
    // The tallest tile stores four columns at once.
    const tile = columns % 4 === 0 ? tileRows(rows) : Math.min(16, tileRows(rows));
    tape.launch({
      kernel: `linear/nt-broadcast-${tile}`,
      constants: { HAS_BIAS },
      bindings,
      params: { rows, columns, inner },
      groups: [Math.ceil(columns / 32), Math.ceil(rows / tile), 1],
    });
    return;
  }
  tape.launch({
    kernel: 'linear/portable',
    constants: { HAS_BIAS },
    bindings: { a: x, b: weight, bias: bias ?? weight, addend: x, out },
    params: { rows, columns, inner, a_row: inner, a_inner: 1, b_column: inner, b_inner: 1 },
    groups: [Math.ceil(columns / 32), Math.ceil(rows / 32), 1],
  });
}

/**
 * Rows of the broadcast tile for a product of so many rows. Taller tiles load less for the same work but waste more of a last tile
 * that is not full; which one is taken never changes a bit of the result.
 */
function tileRows(rows: number): 8 | 16 | 32 {
  if (rows <= 8) return 8;
  return rows < 128 ? 16 : 32;
}

/** a[rows, inner] · b[inner, columns] (+ addend). */
function product(tape: Tape, a: Tensor, b: Tensor, addend: Tensor | undefined, shape: readonly number[], rows: number, columns: number, inner: number): Tensor {
  const out = tape.empty(`d ${b.name} in`, shape);
  if (b.type === 'f16') {
    halfInputGradient(tape, { a, weight: b, out, rows, columns, inner }, addend);
    return out;
  }
  const HAS_ADDEND = addend !== undefined;
  if (tape.device.hasBroadcastTiles && inner % 4 === 0 && columns % 4 === 0) {
    const tile = tileRows(rows);
    tape.launch({
      kernel: `linear/nn-broadcast-${tile}`,
      constants: { HAS_ADDEND },
      bindings: { a, b, addend: addend ?? a, out },
      params: { rows, columns, inner },
      groups: [Math.ceil(columns / 32), Math.ceil(rows / tile), 1],
    });
  } else {
    tape.launch({
      kernel: 'linear/portable',
      constants: { HAS_ADDEND },
      bindings: { a, b, bias: b, addend: addend ?? a, out },
      params: { rows, columns, inner, a_row: inner, a_inner: 1, b_column: 1, b_inner: columns },
      groups: [Math.ceil(columns / 32), Math.ceil(rows / 32), 1],
    });
  }
  return out;
}

/** out[rows, columns] += a[inner, rows]ᵀ · b[inner, columns]. */
export function transposedProduct(tape: Tape, a: Tensor, b: Tensor, out: Tensor, rows: number, columns: number, inner: number): void {
  if (tape.device.hasBroadcastTiles && rows % 4 === 0 && columns % 4 === 0) {
    const tile = Math.max(16, tileRows(rows));
    tape.launch({
      kernel: tile === 32 ? 'linear/tn-broadcast-32' : 'linear/tn-broadcast',
      bindings: { a, b, out },
      params: { rows, columns, inner },
      groups: [Math.ceil(columns / 32), Math.ceil(rows / tile), 1],
    });
    return;
  }
  tape.launch({
    kernel: 'linear/portable',
    constants: { ACCUMULATE: true },
    bindings: { a, b, bias: b, addend: a, out },
    params: { rows, columns, inner, a_row: 1, a_inner: rows, b_column: 1, b_inner: columns },
    groups: [Math.ceil(columns / 32), Math.ceil(rows / 32), 1],
  });
}
