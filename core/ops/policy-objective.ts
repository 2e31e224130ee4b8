/**
 * The clipped policy objective of PPO and GRPO per token, with an entropy term and an optional penalty (k3) for leaving a
 * reference policy. It ends a forward pass: its derivative seeds the tape. The formula is in
 * `kernels/policy-objective/policy-objective.wgsl`.
 */
import { grid } from '../autograd/program.ts';
import type { Tape } from '../autograd/tape.ts';
import type { Scalar } from '../gpu/device.ts';
import { dimension, type Tensor } from '../tensor/tensor.ts';

/** f32 [M] each. */
export interface PolicyInputs {
  /** Log-probability of the token when it was sampled. */
  readonly oldLogProbability: Tensor;
  readonly advantage: Tensor;
  /** Share of the token in the loss: 1 / (number of tokens counted), or 0 for one that must not count. */
  readonly weight: Tensor;
  /** Log-probability under the reference policy. */
  readonly referenceLogProbability?: Tensor;
}

export interface PolicySettings {
  /** The ratio is clipped to 1 - clipLow … 1 + clipHigh. */
  readonly clipLow: Scalar;
  readonly clipHigh: Scalar;
  /** c in c · H: positive penalises entropy, negative rewards it. */
  readonly entropyCoefficient: Scalar;
  /** β; needed with a reference. */
  readonly klCoefficient?: Scalar;
}

/**
 * From `scored` f32 [M, 2] (log-probability, entropy): `dOut` f32 [M, 2], the derivative of the loss by both, and `stats`
 * f32 [M, 4] (objective, 1 where clipped, ratio, k3), not weighted.
 */
export function policyObjective(tape: Tape, scored: Tensor, inputs: PolicyInputs, settings: PolicySettings): { dOut: Tensor; stats: Tensor } {
  const { oldLogProbability, advantage, weight, referenceLogProbability } = inputs;
  const { clipLow, clipHigh, entropyCoefficient, klCoefficient } = settings;
  const count = dimension(scored, 0);
  for (const tensor of [oldLogProbability, advantage, weight, referenceLogProbability]) {
    if (tensor !== undefined && dimension(tensor, 0) !== count) throw new RangeError(`policyObjective: ${tensor.name} [${tensor.shape}] for ${count} tokens`);
  }
  if ((referenceLogProbability === undefined) !== (klCoefficient === undefined)) {
    throw new RangeError('policyObjective: a reference and its coefficient come together');
  }
  const gathered = tape.empty('policy settings', [4]);
  // Without a reference the coefficient is not read; it gets bytes that are bound anyway.
  const coefficients = { clip_low: clipLow.tensor, clip_high: clipHigh.tensor, entropy_coefficient: entropyCoefficient.tensor, kl_coefficient: (klCoefficient ?? clipLow).tensor };
  tape.launch({ kernel: 'policy-objective/settings', bindings: { ...coefficients, settings: gathered }, groups: [1, 1, 1] });
  const dOut = tape.empty('d log-probability and entropy', [count, 2]);
  const stats = tape.empty('policy statistics', [count, 4]);
  tape.launch({
    kernel: 'policy-objective/policy-objective',
    constants: { HAS_REFERENCE: referenceLogProbability !== undefined },
    bindings: { scored, old: oldLogProbability, advantage, weight, reference: referenceLogProbability ?? oldLogProbability, settings: gathered, d_out: dOut, stats },
    params: { count },
    groups: grid(Math.ceil(count / 64)),
  });
  return { dOut, stats };
}
