/**
 * A LLaMA decoder as functions of weights: x += attention(norm(x)); x += swiglu(norm(x)), then a final norm. Here over
 * packed sequences (training, scoring, prefill); single decode steps with a cache are in decoder-step.ts.
 * Weight names follow the Hugging Face layout under a prefix.
 */
import type { Tape } from '../autograd/tape.ts';
import type { PackedTokens, ParameterSpec, PrefillTarget, Weights } from '../contracts/backbone.ts';
import { add } from '../ops/add.ts';
import { attention } from '../ops/attention.ts';
import { prefillCache } from '../ops/cached-attention.ts';
import { resizeParts, rotaryBase, rotaryWidth } from '../ops/heads.ts';
import { linear } from '../ops/linear.ts';
import { rmsNorm } from '../ops/rms-norm.ts';
import { rotary, type RotaryAxes } from '../ops/rotary.ts';
import { swiglu } from '../ops/swiglu.ts';
import { dimension, reshape, type Tensor } from '../tensor/tensor.ts';

export interface DecoderShape {
  /** In front of every weight name, e.g. `model.language_model.`. */
  readonly prefix: string;
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  /** A divisor of `heads`; fewer means grouped heads. */
  readonly keyValueHeads: number;
  readonly headDimension: number;
  /** Inner width of the SwiGLU. */
  readonly mlp: number;
  readonly ropeTheta: number;
  readonly normEpsilon: number;
  /** RMSNorm of every query and key head before the rotation, as in Chameleon and Qwen 3. */
  readonly queryKeyNorm: boolean;
  /** Biases of queries, keys and values, as in Qwen 2; none unless told. */
  readonly attentionBias?: boolean;
  /** Of positions with several axes: which of them turns which pairs of a head; of one axis unless told. */
  readonly rotaryAxes?: RotaryAxes | undefined;
}

/** How heads are computed with: as wide as the kernels take them, see ops/heads.ts. The cache holds keys and values of this width. */
export interface WorkingHeads {
  readonly headDimension: number;
  readonly theta: number;
  /** Of the products of queries and keys. */
  readonly scale: number;
}

/** The widths a decoder’s heads are computed with: those that attention and rotary positions take. */
export function workingHeads({ headDimension, ropeTheta }: DecoderShape): WorkingHeads {
  const width = rotaryWidth(headDimension);
  return {
    headDimension: width,
    theta: rotaryBase(ropeTheta, headDimension, width),
    scale: 1 / Math.sqrt(headDimension),
  };
}

/** Queries or keys to their working width: both halves of a head, which turn against each other. */
export function widenTurned(tape: Tape, x: Tensor, heads: number, width: number): Tensor {
  return resizeParts(tape, x, 2 * heads, width / 2);
}

/** Initial standard deviation of matrices; those that write into the residual stream are divided by √(2 · layers). */
export const initialStd = 0.02;

/** Every weight of a decoder, in the order of its layers, with names of the Hugging Face layout under its prefix. */
export function decoderParameters(shape: DecoderShape): ParameterSpec[] {
  const { prefix, hidden, layers, mlp } = shape;
  const queries = shape.heads * shape.headDimension;
  const keys = shape.keyValueHeads * shape.headDimension;
  const writes = initialStd / Math.sqrt(2 * layers);
  const matrix = (name: string, rows: number, columns: number, normal = initialStd): ParameterSpec => ({
    name,
    shape: [rows, columns],
    init: { normal },
  });
  const gain = (name: string, size: number): ParameterSpec => ({ name, shape: [size], init: { constant: 1 } });
  const bias = (name: string, size: number): ParameterSpec[] =>
    shape.attentionBias === true ? [{ name, shape: [size], init: { constant: 0 } }] : [];
  const ofLayer = (layer: number): ParameterSpec[] => {
    const at = `${prefix}layers.${layer}.`;
    return [
      gain(`${at}input_layernorm.weight`, hidden),
      matrix(`${at}self_attn.q_proj.weight`, queries, hidden),
      matrix(`${at}self_attn.k_proj.weight`, keys, hidden),
      matrix(`${at}self_attn.v_proj.weight`, keys, hidden),
      ...bias(`${at}self_attn.q_proj.bias`, queries),
      ...bias(`${at}self_attn.k_proj.bias`, keys),
      ...bias(`${at}self_attn.v_proj.bias`, keys),
      ...(shape.queryKeyNorm
        ? [
            gain(`${at}self_attn.q_norm.weight`, shape.headDimension),
            gain(`${at}self_attn.k_norm.weight`, shape.headDimension),
          ]
        : []),
      matrix(`${at}self_attn.o_proj.weight`, hidden, queries, writes),
      gain(`${at}post_attention_layernorm.weight`, hidden),
      matrix(`${at}mlp.gate_proj.weight`, mlp, hidden),
      matrix(`${at}mlp.up_proj.weight`, mlp, hidden),
      matrix(`${at}mlp.down_proj.weight`, hidden, mlp, writes),
    ];
  };
  return [...Array.from({ length: layers }, (_, layer) => ofLayer(layer)).flat(), gain(`${prefix}norm.weight`, hidden)];
}

/**
 * Embedded tokens x [N, hidden] → hidden states after the final norm [N, hidden]; fills a cache when asked to. `behind` may add to the residual
 * stream behind a layer.
 */
export function decoderHidden(
  tape: Tape,
  weights: Weights,
  shape: DecoderShape,
  x: Tensor,
  tokens: PackedTokens,
  prefill?: PrefillTarget,
  behind: (layer: number, residual: Tensor) => Tensor = (_layer, residual) => residual,
): Tensor {
  let residual = x;
  for (let layer = 0; layer < shape.layers; layer++) {
    const entering = residual;
    residual = behind(
      layer,
      tape.block(() => packedBlock(tape, weights, shape, layer, entering, tokens, prefill)),
    );
  }
  return finalNorm(tape, weights, shape, residual);
}

/** Layer `layer` over packed sequences: residual stream in, residual stream out. */
export function packedBlock(
  tape: Tape,
  weights: Weights,
  shape: DecoderShape,
  layer: number,
  x: Tensor,
  tokens: PackedTokens,
  prefill?: PrefillTarget,
): Tensor {
  return block(tape, weights, shape, layer, x, tokens.positions, (q, k, v) => {
    if (prefill !== undefined) prefillCache(tape, k, v, prefill, layer);
    const { heads, keyValueHeads } = shape;
    const { headDimension, scale } = workingHeads(shape);
    return attention(tape, q, k, v, tokens, { heads, keyValueHeads, headDimension, causal: true, scale });
  });
}

export function finalNorm(tape: Tape, weights: Weights, shape: DecoderShape, x: Tensor): Tensor {
  return rmsNorm(tape, x, weights.get(`${shape.prefix}norm.weight`), shape.normEpsilon);
}

function block(
  tape: Tape,
  weights: Weights,
  shape: DecoderShape,
  layer: number,
  x: Tensor,
  positions: Tensor,
  attend: (q: Tensor, k: Tensor, v: Tensor) => Tensor,
): Tensor {
  const { headDimension, keyValueHeads, heads, normEpsilon } = shape;
  const working = workingHeads(shape);
  const weight = (name: string): Tensor => weights.get(`${shape.prefix}layers.${layer}.${name}.weight`);
  const project = (from: Tensor, name: string): Tensor => linear(tape, from, weight(name));
  const projectHeads = (from: Tensor, part: AttentionPart): Tensor =>
    linear(tape, from, weight(`self_attn.${part}_proj`), attentionBias(weights, shape, layer, part));
  const turned = (from: Tensor, name: 'q' | 'k', count: number): Tensor => {
    const projected = projectHeads(from, name);
    const normed = shape.queryKeyNorm
      ? normHeads(tape, projected, weight(`self_attn.${name}_norm`), headDimension, normEpsilon)
      : projected;
    return rotary(tape, widenTurned(tape, normed, count, working.headDimension), positions, {
      heads: count,
      axes: shape.rotaryAxes,
      ...working,
    });
  };
  const before = rmsNorm(tape, x, weight('input_layernorm'), normEpsilon);
  const values = resizeParts(tape, projectHeads(before, 'v'), keyValueHeads, working.headDimension);
  const attended = attend(turned(before, 'q', heads), turned(before, 'k', keyValueHeads), values);
  const middle = add(tape, x, project(resizeParts(tape, attended, heads, headDimension), 'self_attn.o_proj'));
  const normed = rmsNorm(tape, middle, weight('post_attention_layernorm'), normEpsilon);
  const inner = swiglu(tape, project(normed, 'mlp.gate_proj'), project(normed, 'mlp.up_proj'));
  return add(tape, middle, project(inner, 'mlp.down_proj'));
}

export type AttentionPart = 'q' | 'k' | 'v';

/** The bias of queries, keys or values, of decoders that have them. */
export function attentionBias(
  weights: Weights,
  shape: DecoderShape,
  layer: number,
  part: AttentionPart,
): Tensor | undefined {
  return shape.attentionBias === true
    ? weights.get(`${shape.prefix}layers.${layer}.self_attn.${part}_proj.bias`)
    : undefined;
}

/** RMSNorm of each head by itself: [N, heads · d] with a weight [d]. */
export function normHeads(tape: Tape, x: Tensor, weight: Tensor, headDimension: number, epsilon: number): Tensor {
  const split = reshape(x, [dimension(x, 0), dimension(x, -1) / headDimension, headDimension]);
  return reshape(rmsNorm(tape, split, weight, epsilon), x.shape);
}
