import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { sizeOf, type Tensor } from '../tensor/tensor.ts';

/** out = x / (1 + exp(-x)), any shape. Backward: dX = dOut · s (1 + x (1 - s)), s the logistic function of x. */
export function silu(tape: Tape, x: Tensor): Tensor {
  const count = sizeOf(x.shape);
  const groups = grid(Math.ceil(count / 256));
  const out = tape.empty(`silu ${x.name}`, x.shape);
  tape.launch({ kernel: 'silu/forward', bindings: { x, out }, params: { count }, groups });
  tape.differentiable([x], out, (dOut) => {
    const dX = tape.empty(`d ${x.name}`, x.shape);
    tape.launch({ kernel: 'silu/gradient', bindings: { x, d_out: dOut, d_x: dX }, params: { count }, groups });
    return [dX];
  });
  return out;
}
