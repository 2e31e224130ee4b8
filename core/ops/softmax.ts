import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, sizeOf, type Tensor } from '../tensor/tensor.ts';
import { shareRows } from '../gpu/row-groups.ts';

/**
 * softmax over the last axis, x [..., D] → the same shape. −∞ stands for what cannot be and gets exactly 0; a row with NaN or +∞ comes
 * out as NaN. Backward: dX = p · (dOut − Σ p · dOut).
 */
export function softmax(tape: Tape, x: Tensor): Tensor {
  const columns = dimension(x, -1);
  const rows = sizeOf(x.shape) / columns;
  const share = shareRows(tape.device);
  const { constants } = share;
  const groups = grid(share.groups(rows));
  const params = { rows, columns };
  const out = tape.empty('softmax', x.shape);
  tape.launch({ kernel: 'softmax/forward', constants, bindings: { x, out }, params, groups });
  tape.differentiable([x], out, (dOut) => {
    const dX = tape.empty(`d ${x.name}`, x.shape);
    tape.launch({ kernel: 'softmax/gradient', constants, bindings: { out, d_out: dOut, d_x: dX }, params, groups });
    return [dX];
  });
  return out;
}
