/** sum[…] += Σ_s partial[s, …], in order of s: how gradients that were computed in parts come together. */
import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, sizeOf, type Tensor } from '../tensor/tensor.ts';

export function sumSplits(tape: Tape, partial: Tensor, sum: Tensor): void {
  const size = sizeOf(sum.shape);
  const splits = dimension(partial, 0);
  if (sizeOf(partial.shape) !== splits * size)
    throw new RangeError(`${partial.name} [${partial.shape}] does not add up to [${sum.shape}]`);
  const width = size % 4 === 0 ? 4 : 1;
  tape.launch({
    kernel: 'reduction/sum-splits',
    constants: width === 4 ? { elem: 'vec4f' } : {},
    bindings: { partial, out: sum },
    params: { count: size / width, splits },
    groups: grid(Math.ceil(size / width / 64)),
  });
}
