/** The loss of supervised fine-tuning per target, with an optional divergence from a reference: the derivative that seeds the way back. */
import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, type Tensor } from '../tensor/tensor.ts';

export interface LikelihoodObjective {
  /** f32 [M, 2]: derivative of the loss by (log-probability, entropy). */
  readonly dOut: Tensor;
  /** f32 [M]: k3 of each target that has a weight for it; 0 elsewhere. */
  readonly divergences: Tensor;
}

/**
 * `scored` f32 [M, 2] (log-probability, entropy); `terms` f32 [M, 4]: weight of the cross-entropy, log-probability under the reference,
 * weight of the divergence, 0. Formula in `kernels/likelihood/objective.wgsl`.
 */
export function likelihoodObjective(tape: Tape, scored: Tensor, terms: Tensor): LikelihoodObjective {
  const count = dimension(scored, 0);
  const dOut = tape.empty('d loss / d scored', [count, 2]);
  const divergences = tape.empty('divergences', [count]);
  tape.launch({
    kernel: 'likelihood/objective',
    bindings: { scored, terms, d_out: dOut, divergences },
    params: { count },
    groups: grid(Math.ceil(count / 64)),
  });
  return { dOut, divergences };
}
