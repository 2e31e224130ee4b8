import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import type { Scalar } from '../gpu/device.ts';
import { sizeOf, type Tensor } from '../tensor/tensor.ts';

export interface GuideOptions {
  readonly weight: Scalar;
  /** Holds the unconditional branch constant. */
  readonly detach: boolean;
}

/**
 * Classifier-free guidance on logits: u + w (c - u), what the sampler draws from when it is guided. The gradient goes to both
 * branches, or to the conditional one alone.
 */
export function guide(
  tape: Tape,
  conditional: Tensor,
  unconditional: Tensor,
  { weight, detach }: GuideOptions,
): Tensor {
  const count = sizeOf(conditional.shape);
  if (sizeOf(unconditional.shape) !== count)
    throw new RangeError(
      `guide: ${conditional.name} [${conditional.shape}] and ${unconditional.name} [${unconditional.shape}] differ`,
    );
  const out = tape.empty('guided logits', conditional.shape);
  const groups = grid(Math.ceil(count / 64));
  tape.launch({
    kernel: 'guide/forward',
    bindings: { conditional, unconditional, weight: weight.tensor, out },
    params: { count },
    groups,
  });
  const share = (dOut: Tensor, CONDITIONAL: boolean): Tensor => {
    const gradient = tape.empty('d logits', conditional.shape);
    tape.launch({
      kernel: 'guide/gradient',
      constants: { CONDITIONAL },
      bindings: { weight: weight.tensor, d_out: dOut, d_in: gradient },
      params: { count },
      groups,
    });
    return gradient;
  };
  const inputs = detach ? [conditional] : [conditional, unconditional];
  tape.differentiable(inputs, out, (dOut, needs) =>
    inputs.map((_, index) => (needs[index] ? share(dOut, index === 0) : undefined)),
  );
  return out;
}
