import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { sizeOf, type Tensor } from '../tensor/tensor.ts';

/** a + b for two tensors of one shape. Backward hands the same gradient to both. */
export function add(tape: Tape, a: Tensor, b: Tensor): Tensor {
  const count = sizeOf(a.shape);
  if (sizeOf(b.shape) !== count) throw new RangeError(`add: ${a.name} [${a.shape}] and ${b.name} [${b.shape}] differ`);
  const sum = tape.empty('sum', a.shape);
  tape.launch({
    kernel: 'pointwise/add',
    bindings: { a, b, sum },
    params: { count },
    groups: grid(Math.ceil(count / 256)),
  });
  tape.differentiable([a, b], sum, (dOut, needs) => [needs[0] ? dOut : undefined, needs[1] ? dOut : undefined]);
  return sum;
}
