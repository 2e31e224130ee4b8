import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, type Tensor } from '../tensor/tensor.ts';

/** silu(gate) · up where gate and up lie side by side: x f32 [R, 2 · D] → [R, D]; D % 4 == 0. Inference only: `swiglu` has the way back. */
export function swigluRows(tape: Tape, x: Tensor): Tensor {
  const [rows, columns] = [dimension(x, 0), dimension(x, 1)];
  if (columns % 8 !== 0)
    throw new RangeError(`swigluRows: ${x.name} [${x.shape}] is not two parts of a multiple of 4 columns`);
  const out = tape.empty('swiglu', [rows, columns / 2]);
  tape.launch({
    kernel: 'swiglu/rows',
    bindings: { x, out },
    params: { rows, width: columns / 8 },
    groups: grid(Math.ceil((rows * columns) / 8 / 64)),
  });
  return out;
}
