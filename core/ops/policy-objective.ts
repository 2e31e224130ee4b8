/**
 * The objective of policy optimization per token: PPO's clip with two bounds and an optional dual bound, GSPO's ratio of whole
 * sequences, or CISPO; an entropy term; a penalty for leaving a reference policy. It ends a forward pass: its derivative seeds
 * the tape. The formulas are in `kernels/policy-objective/policy-objective.wgsl`.
 *
 * Sources: PPO (Schulman et al. 2017), dual clip (Ye et al. 2020), clip-higher (DAPO, Yu et al. 2025), GSPO (Zheng et al. 2025),
 * CISPO (MiniMax-M1, 2025), k1 to k3 (Schulman 2020, "Approximating KL divergence").
 */
import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { dimension, sizeOf, type Tensor } from '../tensor/tensor.ts';

export const policyMethods = ['clip', 'sequence', 'cispo'] as const;
export type PolicyMethod = (typeof policyMethods)[number];

export const divergenceEstimators = ['k1', 'k2', 'k3'] as const;
export type DivergenceEstimator = (typeof divergenceEstimators)[number];

/** Columns of the tables that the host fills and reads, as `kernels/policy-objective` has them in its vectors. */
export const policyColumns = {
  scored: { logProbability: 0, entropy: 1, count: 2 },
  terms: { old: 0, advantage: 1, reference: 2, sequence: 3, count: 4 },
  weights: { policy: 0, entropy: 1, divergence: 2, counted: 3, count: 4 },
  stats: { policy: 0, clipped: 1, ratio: 2, divergence: 3, count: 4 },
  settings: { clipLow: 0, clipHigh: 1, entropy: 2, divergence: 3, dualClip: 4, count: 8 },
} as const;

export interface PolicyInputs {
  /** f32 [M, 4]: log-probability when drawn, advantage, log-probability under the reference, number of the token's sequence. */
  readonly terms: Tensor;
  /** f32 [M, 4]: share in the policy term, in the entropy term, in the divergence; 1 for a token that counts, 0 for one that must not. */
  readonly weights: Tensor;
  /** f32 [8], see `policySettings`. */
  readonly settings: Tensor;
  /** f32 [S] of `sequenceRatios`; needed by the method `sequence`. */
  readonly sequences?: Tensor;
}

export interface PolicyOptions {
  readonly method: PolicyMethod;
  readonly divergence: DivergenceEstimator;
}

/** What may change between replays. */
export interface PolicySettings {
  /** The ratio is clipped to 1 - clipLow … 1 + clipHigh. */
  readonly clipLow: number;
  readonly clipHigh: number;
  /** Where the advantage is negative the objective is at most -A times this; 0 is off. */
  readonly dualClip?: number;
  /** c in c · H: positive penalizes entropy, negative rewards it. */
  readonly entropyCoefficient?: number;
  /** β of the divergence. */
  readonly klCoefficient?: number;
}

/** The content of the tensor `settings`. */
export function policySettings({
  clipLow,
  clipHigh,
  dualClip = 0,
  entropyCoefficient = 0,
  klCoefficient = 0,
}: PolicySettings): Float32Array {
  const { settings } = policyColumns;
  const values = new Float32Array(settings.count);
  values[settings.clipLow] = clipLow;
  values[settings.clipHigh] = clipHigh;
  values[settings.entropy] = entropyCoefficient;
  values[settings.divergence] = klCoefficient;
  values[settings.dualClip] = dualClip;
  return values;
}

/**
 * From `scored` f32 [M, 2] (log-probability, entropy): `dOut` f32 [M, 2], the derivative of the loss by both, and `stats`
 * f32 [M, 4] (policy term, 1 where clipped, ratio, divergence), not weighted.
 */
export function policyObjective(
  tape: Tape,
  scored: Tensor,
  inputs: PolicyInputs,
  options: PolicyOptions,
): { dOut: Tensor; stats: Tensor } {
  const { terms, weights, settings, sequences } = inputs;
  const count = dimension(scored, 0);
  for (const tensor of [terms, weights]) refuseShape(tensor, [count, 4], `${count} tokens`);
  refuseShape(settings, [policyColumns.settings.count], 'the settings');
  const method = policyMethods.indexOf(options.method);
  if (options.method === 'sequence' && sequences === undefined)
    throw new RangeError('policyObjective: the method "sequence" needs the ratios of sequences');
  const dOut = tape.empty('d log-probability and entropy', [count, 2]);
  const stats = tape.empty('policy statistics', [count, 4]);
  tape.launch({
    kernel: 'policy-objective/policy-objective',
    // Other methods do not read the ratios of sequences; they get bytes that are bound anyway.
    bindings: { scored, terms, weights, settings, sequences: sequences ?? settings, d_out: dOut, stats },
    params: { count, method, estimator: divergenceEstimators.indexOf(options.divergence) + 1 },
    groups: grid(Math.ceil(count / 64)),
  });
  return { dOut, stats };
}

/** One kind of token of the sequences: `scored` [M, 2], terms and weights [M, 4] as above. */
export interface SequencePart {
  readonly scored: Tensor;
  readonly terms: Tensor;
  readonly weights: Tensor;
}

/**
 * Logarithm of each sequence's ratio, f32 [S]: the mean of log-probability now minus then over its counted tokens of both kinds.
 * `ranges` u32 [S, 4]: first and last + 1 of its text targets, then of its image targets.
 */
export function sequenceRatios(
  tape: Tape,
  parts: { readonly text?: SequencePart | undefined; readonly image?: SequencePart | undefined },
  ranges: Tensor,
): Tensor {
  const sequences = dimension(ranges, 0);
  // A kind that does not occur has empty ranges and is not read.
  const [text, image] = [parts.text ?? parts.image, parts.image ?? parts.text];
  if (text === undefined || image === undefined) throw new RangeError('sequenceRatios: no tokens');
  const out = tape.empty('log ratios of sequences', [sequences]);
  tape.launch({
    kernel: 'policy-objective/sequence-ratio',
    bindings: {
      ranges,
      text_scored: text.scored,
      text_terms: text.terms,
      text_weights: text.weights,
      image_scored: image.scored,
      image_terms: image.terms,
      image_weights: image.weights,
      out,
    },
    params: { sequences },
    groups: grid(Math.ceil(sequences / 64)),
  });
  return out;
}

function refuseShape(tensor: Tensor, shape: readonly number[], what: string): void {
  if (sizeOf(tensor.shape) !== sizeOf(shape))
    throw new RangeError(`policyObjective: ${tensor.name} [${tensor.shape}] for ${what}`);
}
