import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { sizeOf, type Tensor } from '../tensor/tensor.ts';

type FloatType = 'f32' | 'f16' | 'bf16';

/**
 * Another floating type for the same values, on the device: f32 ↔ f16 and f32 ↔ bf16. Rounds to nearest, ties to even; what f16
 * cannot hold becomes infinite. Differentiable as if nothing were rounded; gradients are f32.
 */
export function cast(tape: Tape, x: Tensor, type: FloatType): Tensor {
  if (x.type === type) return x;
  const isPacking = x.type === 'f32';
  if ((!isPacking && type !== 'f32') || (!isPacking && x.type !== 'f16' && x.type !== 'bf16')) {
    throw new RangeError(`cast: ${x.name} is ${x.type} and cannot become ${type}`);
  }
  const count = sizeOf(x.shape);
  const out = tape.empty(`${x.name} as ${type}`, x.shape, type);
  tape.launch({
    kernel: isPacking ? 'cast/pack' : 'cast/unpack',
    constants: { BRAIN: (isPacking ? type : x.type) === 'bf16' },
    bindings: { x, out },
    params: { count },
    groups: grid(Math.ceil(count / 256)),
  });
  tape.differentiable([x], out, (dOut) => [dOut]);
  return out;
}
