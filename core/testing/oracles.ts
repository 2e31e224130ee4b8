/** Ops in float64, in the plainest loops there are: what `verify-device` holds an adapter's kernels against. */
import { at } from './arrays.ts';

/** x [rows, inner] · weightᵀ, weight [columns, inner] (+ bias). */
export function productOf(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  inner: number,
  bias?: ArrayLike<number>,
): Float64Array {
  const [rows, columns] = [x.length / inner, weight.length / inner];
  const out = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      let sum = bias === undefined ? 0 : at(bias, column);
      for (let k = 0; k < inner; k++) sum += at(x, row * inner + k) * at(weight, column * inner + k);
      out[row * columns + column] = sum;
    }
  return out;
}

/** Every row of `width` through `of`. */
export function byRow(
  x: Float64Array,
  width: number,
  of: (row: Float64Array, index: number) => ArrayLike<number>,
): Float64Array {
  const rows = Array.from({ length: x.length / width }, (_, index) =>
    Array.from(of(x.subarray(index * width, (index + 1) * width), index)),
  );
  return Float64Array.from(rows.flat());
}

export function meanOf(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += at(values, i);
  return sum / values.length;
}

/** (values - mean) / √(variance + ε). */
export function standardised(values: Float64Array, epsilon: number): Float64Array {
  const mean = meanOf(values);
  const variance = meanOf(values.map((value) => (value - mean) ** 2));
  return values.map((value) => (value - mean) / Math.sqrt(variance + epsilon));
}

export function softmaxOf(values: ArrayLike<number>): number[] {
  const list = Array.from(values);
  const largest = Math.max(...list);
  const powers = list.map((value) => Math.exp(value - largest));
  const total = powers.reduce((sum, value) => sum + value, 0);
  return powers.map((value) => value / total);
}

/** x · Φ(x), by the series of the error function. */
export function geluOf(x: number): number {
  return x * 0.5 * (1 + errorFunction(x / Math.SQRT2));
}

/** Maclaurin's series for small x, the continued fraction of erfc beyond: 1e-14. */
function errorFunction(x: number): number {
  const size = Math.abs(x);
  if (size < 3) {
    let term = size;
    let sum = size;
    for (let n = 1; n < 100; n++) {
      term *= (-size * size) / n;
      sum += term / (2 * n + 1);
    }
    return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (size + fraction);
  return Math.sign(x) * (1 - Math.exp(-size * size) / (Math.sqrt(Math.PI) * (size + fraction)));
}

/** Positions [rows], half-split pairs: LLaMA's rotation of [rows, heads · width]. */
export function turned(
  x: Float64Array,
  positions: ArrayLike<number>,
  heads: number,
  width: number,
  theta: number,
): Float64Array {
  const half = width / 2;
  return x.map((value, index) => {
    const [row, within] = [Math.floor(index / (heads * width)), index % width];
    const angle = at(positions, row) * theta ** ((-2 * (within % half)) / width);
    const other = within < half ? -at(x, index + half) : at(x, index - half);
    return value * Math.cos(angle) + other * Math.sin(angle);
  });
}

/** Positions [rows, axes]; `pairs`: axis and frequency of every pair (j, j + width/2) of a head. */
export function turnedAlong(
  x: Float64Array,
  positions: ArrayLike<number>,
  heads: number,
  width: number,
  axes: number,
  pairs: readonly (readonly [axis: number, frequency: number])[],
): Float64Array {
  const half = width / 2;
  return x.map((value, index) => {
    const [row, within] = [Math.floor(index / (heads * width)), index % width];
    const [axis = 0, frequency = 0] = pairs[within % half] ?? [];
    const angle = at(positions, row * axes + axis) * frequency;
    const other = within < half ? -at(x, index + half) : at(x, index - half);
    return value * Math.cos(angle) + other * Math.sin(angle);
  });
}

export interface AttentionSizes {
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDimension: number;
  readonly causal: boolean;
  /** Length of each segment; rows stand in this order. */
  readonly segments: readonly number[];
}

export function attended(
  q: ArrayLike<number>,
  k: ArrayLike<number>,
  v: ArrayLike<number>,
  { heads, keyValueHeads, headDimension: d, causal, segments }: AttentionSizes,
): Float64Array {
  const out = new Float64Array(q.length);
  let start = 0;
  for (const length of segments) {
    for (let row = start; row < start + length; row++)
      for (let head = 0; head < heads; head++) {
        const shared = Math.floor((head * keyValueHeads) / heads);
        const keys = Array.from({ length: causal ? row - start + 1 : length }, (_, i) => start + i);
        const shares = softmaxOf(
          keys.map((key) => {
            let sum = 0;
            for (let i = 0; i < d; i++)
              sum += at(q, (row * heads + head) * d + i) * at(k, (key * keyValueHeads + shared) * d + i);
            return sum / Math.sqrt(d);
          }),
        );
        for (let i = 0; i < d; i++)
          out[(row * heads + head) * d + i] = keys.reduce(
            (sum, key, index) => sum + at(shares, index) * at(v, (key * keyValueHeads + shared) * d + i),
            0,
          );
      }
    start += length;
  }
  return out;
}

/** (log-probability, entropy) of each row's target under softmax(logits / temperature). */
export function scored(
  logits: Float64Array,
  vocabulary: number,
  targets: ArrayLike<number>,
  temperature: number,
): Float64Array {
  return byRow(logits, vocabulary, (row, index) => {
    const shares = softmaxOf(row.map((value) => value / temperature));
    return [
      Math.log(at(shares, at(targets, index))),
      -shares.reduce((sum, share) => sum + (share > 0 ? share * Math.log(share) : 0), 0),
    ];
  });
}

export interface ConvolutionSizes {
  readonly images: number;
  readonly side: number;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernel: number;
  readonly stride: number;
  readonly before: number;
  readonly after: number;
}

/** x [images, side, side, inChannels], weight [outChannels, kernel, kernel, inChannels]. */
export function convolved(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
  sizes: ConvolutionSizes,
): Float64Array {
  const { images, side, inChannels, outChannels, kernel, stride, before, after } = sizes;
  const to = Math.floor((side + before + after - kernel) / stride) + 1;
  const out = new Float64Array(images * to * to * outChannels);
  for (let index = 0; index < out.length; index++) {
    const o = index % outChannels;
    const column = Math.floor(index / outChannels) % to;
    const row = Math.floor(index / (outChannels * to)) % to;
    const image = Math.floor(index / (outChannels * to * to));
    let sum = at(bias, o);
    for (let dy = 0; dy < kernel; dy++)
      for (let dx = 0; dx < kernel; dx++) {
        const [y, z] = [row * stride + dy - before, column * stride + dx - before];
        if (y < 0 || z < 0 || y >= side || z >= side) continue;
        for (let c = 0; c < inChannels; c++)
          sum +=
            at(x, ((image * side + y) * side + z) * inChannels + c) *
            at(weight, ((o * kernel + dy) * kernel + dx) * inChannels + c);
      }
    out[index] = sum;
  }
  return out;
}
