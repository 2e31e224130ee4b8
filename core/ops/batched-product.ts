import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, type Tensor } from '../tensor/tensor.ts';

/**
 * a [B, M, K], b [B, N, K] → [B, M, N]: out[s] = a[s] · b[s]ᵀ, a product of values, not with a weight.
 * Backward: dA[s] = dOut[s] · b[s]; dB[s] = dOut[s]ᵀ · a[s].
 */
export function batchedProduct(tape: Tape, a: Tensor, b: Tensor): Tensor {
  const batch = dimension(a, 0);
  const rows = dimension(a, 1);
  const inner = dimension(a, 2);
  const columns = dimension(b, 1);
  if (a.shape.length !== 3 || b.shape.length !== 3 || dimension(b, 0) !== batch || dimension(b, 2) !== inner) {
    throw new RangeError(`batchedProduct: ${a.name} [${a.shape}] does not fit ${b.name} [${b.shape}]`);
  }
  const launch = (
    bindings: { a: Tensor; b: Tensor; out: Tensor },
    sizes: {
      rows: number;
      columns: number;
      inner: number;
      a_row: number;
      a_inner: number;
      b_column: number;
      b_inner: number;
    },
  ): Tensor => {
    const count = batch * Math.ceil(sizes.rows / 4) * Math.ceil(sizes.columns / 4);
    tape.launch({
      kernel: 'linear/batched',
      bindings,
      params: { batch, ...sizes },
      groups: grid(Math.ceil(count / 64)),
    });
    return bindings.out;
  };
  const out = launch(
    { a, b, out: tape.empty('batched product', [batch, rows, columns]) },
    { rows, columns, inner, a_row: inner, a_inner: 1, b_column: inner, b_inner: 1 },
  );
  tape.differentiable([a, b], out, (dOut, needs) => [
    needs[0]
      ? launch(
          { a: dOut, b, out: tape.empty(`d ${a.name}`, a.shape) },
          { rows, columns: inner, inner: columns, a_row: columns, a_inner: 1, b_column: 1, b_inner: inner },
        )
      : undefined,
    needs[1]
      ? launch(
          { a: dOut, b: a, out: tape.empty(`d ${b.name}`, b.shape) },
          { rows: columns, columns: inner, inner: rows, a_row: 1, a_inner: columns, b_column: 1, b_inner: inner },
        )
      : undefined,
  ]);
  return out;
}
