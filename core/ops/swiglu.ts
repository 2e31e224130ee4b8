import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { sizeOf, type Tensor } from '../tensor/tensor.ts';

/** silu(gate) · up, elementwise, for two tensors of one shape. Backward: both gradients in one launch. */
export function swiglu(tape: Tape, gate: Tensor, up: Tensor): Tensor {
  const count = sizeOf(gate.shape);
  if (sizeOf(up.shape) !== count)
    throw new RangeError(`swiglu: ${gate.name} [${gate.shape}] and ${up.name} [${up.shape}] differ`);
  const out = tape.empty('swiglu', gate.shape);
  const groups = grid(Math.ceil(count / 256));
  tape.launch({ kernel: 'swiglu/forward', bindings: { gate, up, out }, params: { count }, groups });
  tape.differentiable([gate, up], out, (dOut) => {
    const dGate = tape.empty('d gate', gate.shape);
    const dUp = tape.empty('d up', up.shape);
    tape.launch({
      kernel: 'swiglu/gradient',
      bindings: { gate, up, d_out: dOut, d_gate: dGate, d_up: dUp },
      params: { count },
      groups,
    });
    return [dGate, dUp];
  });
  return out;
}
