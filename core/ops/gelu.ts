/** x · Φ(x), elementwise (GELU with the exact error function, not the tanh form); error below 1e-6. */
import { grid } from '../autograd/program.ts';
import type { Tape } from '../autograd/tape.ts';
import { sizeOf, type Tensor } from '../tensor/tensor.ts';

export function gelu(tape: Tape, x: Tensor): Tensor {
  const count = sizeOf(x.shape);
  const out = tape.empty('gelu', x.shape);
  const groups = grid(Math.ceil(count / 256));
  tape.launch({ kernel: 'gelu/forward', bindings: { x, out }, params: { count }, groups });
  tape.differentiable([x], out, (dOut) => {
    const dX = tape.empty(`d ${x.name}`, x.shape);
    tape.launch({ kernel: 'gelu/gradient', bindings: { x, d_out: dOut, d_x: dX }, params: { count }, groups });
    return [dX];
  });
  return out;
}
