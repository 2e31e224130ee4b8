/** The loss of supervised fine-tuning per target, with an optional divergence from a reference: the derivative that seeds the way back. */
import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, type Tensor } from '../tensor/tensor.ts';

/** Columns of the tables that the host fills and reads, as `kernels/likelihood` has them in its vectors. */
export const likelihoodColumns = {
  scored: { logProbability: 0, entropy: 1, count: 2 },
  terms: { weight: 0, reference: 1, divergence: 2, count: 4 },
} as const;

export interface LikelihoodObjective {
  /** f32 [M, 2]: derivative of the loss by (log-probability, entropy). */
  readonly dOut: Tensor;
  /** f32 [M]: k3 of each target that has a weight for it; 0 elsewhere. */
  readonly divergences: Tensor;
}

/**
 * `scored` f32 [M, 2] and `terms` f32 [M, 4] as `likelihoodColumns` has them: weight of the cross-entropy, log-probability under the
 * reference, weight of the divergence, unused. Formula in `kernels/likelihood/objective.wgsl`.
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
