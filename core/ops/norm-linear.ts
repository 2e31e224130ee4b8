import type { Tape } from '../autograd/tape.ts';
import { dimension, type Tensor } from '../tensor/tensor.ts';
import { forwardProduct, fusible } from './linear-products.ts';
import type { Fused } from './linear-tiles.ts';
import { rmsNorm } from './rms-norm.ts';
import { swigluRows } from './swiglu-rows.ts';

/**
 * RMSNorm(x) · weightᵀ, and the SwiGLU of its halves where `isGated`: x f32 [R, K], weight [N, K] in one part and without an adapter → f32 [R, N], or
 * [R, N / 2] where N % 8 == 0. As few launches as the adapter's kernels allow, and the bits of `rmsNorm`, `linear` and `swigluRows`. Inference only.
 */
export function normLinear(
  tape: Tape,
  x: Tensor,
  norm: NonNullable<Fused['norm']>,
  weight: Tensor,
  { isGated = false }: Pick<Fused, 'isGated'> = {},
): Tensor {
  const [rows, columns, inner] = [dimension(x, 0), dimension(weight, 0), dimension(weight, 1)];
  if (dimension(x, 1) !== inner || dimension(norm.weight, 0) !== inner || (isGated && columns % 8 !== 0)) {
    throw new RangeError(
      `normLinear: ${x.name} [${x.shape}], ${norm.weight.name} [${norm.weight.shape}] and ${weight.name} [${weight.shape}] do not fit`,
    );
  }
  const can = fusible(tape, { weight, rows, columns, inner });
  const isWithGate = isGated && can.gate;
  const out = tape.empty(`${weight.name} out`, [rows, isWithGate ? columns / 2 : columns]);
  const a = can.norm ? x : rmsNorm(tape, x, norm.weight, norm.epsilon);
  forwardProduct(tape, { a, weight, out, rows, columns, inner }, undefined, {
    norm: can.norm ? norm : undefined,
    isGated: isWithGate,
  });
  return isGated && !isWithGate ? swigluRows(tape, out) : out;
}
