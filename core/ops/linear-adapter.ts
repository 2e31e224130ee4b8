/**
 * What a low-rank adapter adds to a linear layer: out += scale · (x' · downᵀ) · upᵀ, where x' is x or, with dropout, x with some
 * elements left out and the rest divided by the share kept. The merged weight is never made, so the weight below may be of any type.
 * Backward: dUp += dOutᵀ · s, s = scale · x' · downᵀ; d = scale · dOut · up; dDown += dᵀ · x'; dX' = d · down.
 */
import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, sizeOf, type Adapter, type Tensor } from '../tensor/tensor.ts';
import { addForwardProduct, forwardProduct, inputProduct, transposedProduct } from './linear-products.ts';

export interface AppliedAdapter {
  /** Adds to the gradients of both matrices; returns dX with the adapter's part where dX is given. */
  backward(dOut: Tensor, dX: Tensor | undefined): Tensor | undefined;
}

export function addAdapter(tape: Tape, x: Tensor, adapter: Adapter, out: Tensor, rows: number): AppliedAdapter {
  const { down, up, scale } = adapter;
  const rank = dimension(down, 0);
  const inner = dimension(down, 1);
  const columns = dimension(up, 0);
  if (dimension(x, -1) !== inner || dimension(out, -1) !== columns || dimension(up, 1) !== rank) {
    throw new RangeError(
      `linear: the adapter ${down.name} [${down.shape}], ${up.name} [${up.shape}] does not fit ${x.name} [${x.shape}] to ${out.name} [${out.shape}]`,
    );
  }
  const kept = dropOut(tape, x, adapter, undefined);
  const low = tape.empty(`${down.name} out`, [rows, rank]);
  forwardProduct(tape, { a: kept, weight: down, out: low, rows, columns: rank, inner });
  const scaled = scaleBy(tape, low, scale);
  addForwardProduct(tape, { a: scaled, weight: up, out, rows, columns, inner: rank });
  return {
    backward(dOut, dX) {
      const dUp = tape.gradientOf(up);
      if (dUp !== undefined) transposedProduct(tape, dOut, scaled, dUp, columns, rank, rows);
      const dDown = tape.gradientOf(down);
      if (dDown === undefined && dX === undefined) return undefined;
      const dScaled = tape.empty(`d ${low.name} scaled`, low.shape);
      inputProduct(tape, { a: dOut, weight: up, out: dScaled, rows, columns: rank, inner: columns });
      const dLow = scaleBy(tape, dScaled, scale);
      if (dDown !== undefined) transposedProduct(tape, dLow, kept, dDown, rank, inner, rows);
      if (dX === undefined) return undefined;
      const sum = tape.empty(`${dX.name} with adapter`, dX.shape);
      inputProduct(
        tape,
        { a: dLow, weight: down, out: sum, rows, columns: inner, inner: rank },
        adapter.dropout === undefined ? dX : undefined,
      );
      return dropOut(tape, sum, adapter, dX);
    },
  };
}

/** The same mask whenever it is asked for. Without dropout: x itself, to which `addend` has been added already. */
function dropOut(tape: Tape, x: Tensor, { dropout }: Adapter, addend: Tensor | undefined): Tensor {
  if (dropout === undefined) return x;
  const { share, seed, key } = dropout;
  if (!(share >= 0 && share < 1)) throw new RangeError(`linear: a dropout of ${share} is not in [0, 1)`);
  const out = tape.empty(`${x.name} kept`, x.shape);
  const count = sizeOf(x.shape);
  tape.launch({
    kernel: 'lora/dropout',
    constants: { HAS_ADDEND: addend !== undefined },
    bindings: { value: x, addend: addend ?? x, seed, out },
    params: { count, key: key >>> 0, threshold: Math.floor(share * 2 ** 32), scale: 1 / (1 - share) },
    groups: grid(Math.ceil(count / 256)),
  });
  return out;
}

function scaleBy(tape: Tape, value: Tensor, scale: number): Tensor {
  if (scale === 1) return value;
  const out = tape.empty(`${value.name} scaled`, value.shape);
  const count = sizeOf(value.shape);
  tape.launch({
    kernel: 'pointwise/scale',
    bindings: { x: value, out },
    params: { count, factor: scale },
    groups: grid(Math.ceil(count / 256)),
  });
  return out;
}
