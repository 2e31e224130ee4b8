import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { sizeOf, type Tensor } from '../tensor/tensor.ts';

export type GeluForm = 'exact' | 'tanh';

/**
 * x · Φ(x), any shape: GELU with the exact error function (error below 1e-6), or in the form with tanh that some models were
 * trained with, x · ½ (1 + tanh(√(2/π) (x + 0.044715 x³))) (Hendrycks and Gimpel 2016). Gradient: dX = dOut times
 * the derivative of the chosen form.
 */
export function gelu(tape: Tape, x: Tensor, form: GeluForm = 'exact'): Tensor {
  const count = sizeOf(x.shape);
  const constants = { TANH: form === 'tanh' };
  const out = tape.empty('gelu', x.shape);
  const groups = grid(Math.ceil(count / 256));
  tape.launch({ kernel: 'gelu/forward', constants, bindings: { x, out }, params: { count }, groups });
  tape.differentiable([x], out, (dOut) => {
    const dX = tape.empty(`d ${x.name}`, x.shape);
    tape.launch({
      kernel: 'gelu/gradient',
      constants,
      bindings: { x, d_out: dOut, d_x: dX },
      params: { count },
      groups,
    });
    return [dX];
  });
  return out;
}
