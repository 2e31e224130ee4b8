/**
 * One token per row through the decoder, with a cache: the same block as in decoder.ts with fewer launches, which is what a step
 * of few rows pays for. Weights that lie end to end (q, k, v; gate, up) are one product, where the kernel can with the norm in front of it and the SwiGLU
 * behind it; turning and appending are one launch; what a block adds to the residual stream is added where it lies. Six launches a layer at the least.
 */
import type { Tape } from '../autograd/tape.ts';
import type { KeyValueCache, Weights } from '../contracts/backbone.ts';
import { add } from '../ops/add.ts';
import {
  appendToCache,
  cachedAttention,
  rotaryPositions,
  turnIntoCache,
  type CacheColumns,
} from '../ops/cached-attention.ts';
import { resizeParts } from '../ops/heads.ts';
import { addForwardProduct } from '../ops/linear-products.ts';
import { linear } from '../ops/linear.ts';
import { normLinear } from '../ops/norm-linear.ts';
import { rmsNorm } from '../ops/rms-norm.ts';
import { rotary } from '../ops/rotary.ts';
import { swiglu } from '../ops/swiglu.ts';
import { dimension, elementBytes, sizeOf, type Tensor } from '../tensor/tensor.ts';
import { attentionBias, finalNorm, normHeads, widenTurned, workingHeads, type DecoderShape } from './decoder.ts';

/** One new token per row, x [R, hidden] at its row's position: appends to the cache, returns [R, hidden] after the final norm. A value of the tape, x is overwritten. */
export function decoderStep(
  tape: Tape,
  weights: Weights,
  shape: DecoderShape,
  x: Tensor,
  positions: Tensor,
  cache: KeyValueCache,
): Tensor {
  const places = { positions, turns: rotaryPositions(tape, positions, cache) };
  let residual = x;
  for (let layer = 0; layer < shape.layers; layer++)
    residual = stepBlock(tape, weights, shape, layer, residual, places, cache);
  return finalNorm(tape, weights, shape, residual);
}

/** Where each row of a step is put into the cache, and the rotary position of it; the same tensor where these are the same. */
interface StepPlaces {
  readonly positions: Tensor;
  readonly turns: Tensor;
}

function stepBlock(
  tape: Tape,
  weights: Weights,
  shape: DecoderShape,
  layer: number,
  x: Tensor,
  { positions, turns }: StepPlaces,
  cache: KeyValueCache,
): Tensor {
  const { headDimension, normEpsilon, heads, keyValueHeads } = shape;
  const working = workingHeads(shape);
  const isWidened = working.headDimension !== headDimension;
  const isShifted = turns !== positions;
  const weight = (name: string): Tensor => weights.get(`${shape.prefix}layers.${layer}.${name}.weight`);
  const norm = (name: string): Norm => ({ weight: weight(name), epsilon: normEpsilon });
  const projected = sideBySide(
    tape,
    x,
    norm('input_layernorm'),
    (['q', 'k', 'v'] as const).map((name) => ({
      weight: weight(`self_attn.${name}_proj`),
      bias: attentionBias(weights, shape, layer, name),
    })),
    shape.queryKeyNorm || isWidened || isShifted,
  );
  const [q, k, v] = projected;
  if (q === undefined || k === undefined || v === undefined)
    throw new RangeError('unreachable: three projections were made');
  const normed = (from: CacheColumns, name: string, count: number): CacheColumns => {
    const own = shape.queryKeyNorm
      ? { from: normHeads(tape, from.from, weight(`self_attn.${name}_norm`), headDimension, normEpsilon), first: 0 }
      : from;
    return isWidened ? { from: widenTurned(tape, own.from, count, working.headDimension), first: 0 } : own;
  };
  const values = isWidened ? { from: resizeParts(tape, v.from, keyValueHeads, working.headDimension), first: 0 } : v;
  const parts = { q: normed(q, 'q', heads).from, k: normed(k, 'k', keyValueHeads), v: values };
  const options = { ...shape, ...working };
  const turned = isShifted
    ? turnAndAppend(tape, { q: parts.q, k: parts.k.from, v: values.from }, { positions, turns }, cache, layer, options)
    : turnIntoCache(tape, parts, positions, cache, layer, options);
  const attended = resizeParts(
    tape,
    cachedAttention(tape, turned, positions, cache, layer, options),
    heads,
    headDimension,
  );
  const middle = addProduct(tape, x, attended, weight('self_attn.o_proj'));
  const inner = gated(tape, middle, norm('post_attention_layernorm'), weight('mlp.gate_proj'), weight('mlp.up_proj'));
  return addProduct(tape, middle, inner, weight('mlp.down_proj'));
}

/** What `turnIntoCache` does, where rotary positions are not the places in the cache. All axes of what is written are at one position. */
function turnAndAppend(
  tape: Tape,
  { q, k, v }: { readonly q: Tensor; readonly k: Tensor; readonly v: Tensor },
  { positions, turns }: StepPlaces,
  cache: KeyValueCache,
  layer: number,
  { heads, keyValueHeads, headDimension, theta }: ReturnType<typeof workingHeads> & DecoderShape,
): Tensor {
  appendToCache(
    tape,
    rotary(tape, k, turns, { heads: keyValueHeads, headDimension, theta }),
    v,
    positions,
    cache,
    layer,
  );
  return rotary(tape, q, turns, { heads, headDimension, theta });
}

/** residual + x · weightᵀ, in place where the kernels can. */
function addProduct(tape: Tape, residual: Tensor, x: Tensor, weight: Tensor): Tensor {
  if (weight.type !== 'f32' || !isPlain(weight) || !('value' in residual.memory))
    return add(tape, residual, linear(tape, x, weight));
  addForwardProduct(tape, {
    a: x,
    weight,
    out: residual,
    rows: dimension(x, 0),
    columns: dimension(weight, 0),
    inner: dimension(weight, 1),
  });
  return residual;
}

interface Norm {
  readonly weight: Tensor;
  readonly epsilon: number;
}

/** The SwiGLU of the products of x’s norm. */
function gated(tape: Tape, x: Tensor, norm: Norm, gate: Tensor, up: Tensor): Tensor {
  const both = joined([gate, up]);
  if (both !== undefined && dimension(both, 0) % 8 === 0) return normLinear(tape, x, norm, both, { isGated: true });
  const normed = rmsNorm(tape, x, norm.weight, norm.epsilon);
  return swiglu(tape, linear(tape, normed, gate), linear(tape, normed, up));
}

interface Projection {
  readonly weight: Tensor;
  readonly bias: Tensor | undefined;
}

/** The products of x’s norm with several weights: columns of one tensor where the weights lie end to end, tensors of their own otherwise. */
function sideBySide(tape: Tape, x: Tensor, norm: Norm, parts: readonly Projection[], apart: boolean): CacheColumns[] {
  const weights = parts.map(({ weight }) => weight);
  const whole = apart || parts.some(({ bias }) => bias !== undefined) ? undefined : joined(weights);
  if (whole === undefined) {
    const normed = rmsNorm(tape, x, norm.weight, norm.epsilon);
    return parts.map(({ weight, bias }) => ({ from: linear(tape, normed, weight, bias), first: 0 }));
  }
  const from = normLinear(tape, x, norm, whole);
  let next = 0;
  return weights.map((weight) => {
    const first = next;
    next += dimension(weight, 0);
    return { from, first };
  });
}

/** Matrices of equal width that lie end to end in one buffer, as one; undefined when they do not. */
function joined(weights: readonly Tensor[]): Tensor | undefined {
  const [first] = weights;
  if (first === undefined || !('buffer' in first.memory)) return undefined;
  const { buffer, offset } = first.memory;
  let end = offset;
  let rows = 0;
  for (const weight of weights) {
    if (!isPlain(weight)) return undefined;
    if (!('buffer' in weight.memory) || weight.memory.buffer !== buffer || weight.memory.offset !== end)
      return undefined;
    if (weight.type !== first.type || dimension(weight, 1) !== dimension(first, 1)) return undefined;
    end += sizeOf(weight.shape) * elementBytes(weight.type);
    rows += dimension(weight, 0);
  }
  return {
    name: `${first.name} and ${weights.length - 1} more`,
    shape: [rows, dimension(first, 1)],
    type: first.type,
    memory: first.memory,
  };
}

/** A weight that is more than its bytes (scales, parts, an adapter) is a product of its own. */
function isPlain(weight: Tensor): boolean {
  return Object.entries(weight).every(([key, value]) => value === undefined || plainKeys.has(key));
}

const plainKeys = new Set<string>(['name', 'shape', 'type', 'memory'] satisfies (keyof Tensor)[]);
