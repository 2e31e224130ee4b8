/**
 * What every stack is given to do: the same numbers from the same seeds, so that all results can be held against one reference.
 * Matrices lie as [out, in], as in PyTorch; a stack turns them into what it likes before the clock starts.
 */

/** @typedef {{ name: string, kind: 'matmul', m: number, n: number, k: number }} Matmul */
/** @typedef {{ name: string, kind: 'mlp', batch: number, sizes: number[], learningRate: number }} Mlp */
/** @typedef {{ name: string, kind: 'decoder', layers: number, width: number, heads: number, mlp: number, vocabulary: number, sequences: number, length: number, learningRate: number, weightDecay: number }} Decoder */
/** @typedef {{ name: string, kind: 'decode', layers: number, width: number, heads: number, mlp: number, vocabulary: number, rows: number, length: number }} Decode */
/** @typedef {{ name: string, kind: 'conv', images: number, side: number, channels: number[] }} Conv */
/** @typedef {Matmul | Mlp | Decoder | Decode | Conv} Workload */

/** @type {Workload[]} */
export const workloads = [
  { name: 'matmul 1024x1024x1024', kind: 'matmul', m: 1024, n: 1024, k: 1024 },
  { name: 'matmul 4096x512x128', kind: 'matmul', m: 4096, n: 512, k: 128 },
  { name: 'matmul 128x512x512', kind: 'matmul', m: 128, n: 512, k: 512 },
  { name: 'MLP training step', kind: 'mlp', batch: 128, sizes: [784, 256, 256, 10], learningRate: 1e-3 },
  {
    name: 'decoder training step',
    kind: 'decoder',
    layers: 2,
    width: 128,
    heads: 4,
    mlp: 336,
    vocabulary: 512,
    sequences: 16,
    length: 64,
    learningRate: 1e-3,
    weightDecay: 0.01,
  },
  {
    name: 'decoding, nano size',
    kind: 'decode',
    layers: 6,
    width: 128,
    heads: 4,
    mlp: 336,
    vocabulary: 256,
    rows: 128,
    length: 36,
  },
  { name: 'conv stack', kind: 'conv', images: 16, side: 32, channels: [16, 32, 64, 64] },
];

/** Steps of training whose losses are compared with the reference. */
export const checkedSteps = 3;

export const ropeBase = 10000;
export const normEpsilon = 1e-6;

/** A stream of uniform values in [0, 1) that depends on the seed only (mulberry32). @param {number} seed */
function stream(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `count` values spread evenly over (-scale, scale). @param {number} count @param {number} seed @param {number} scale */
export function floats(count, seed, scale) {
  const random = stream(seed);
  return Float32Array.from({ length: count }, () => (random() * 2 - 1) * scale);
}

/** @param {number} count @param {number} seed @param {number} limit */
export function words(count, seed, limit) {
  const random = stream(seed);
  return Int32Array.from({ length: count }, () => Math.floor(random() * limit));
}

/** a [m, k] and b [n, k]; the result is a · bᵀ [m, n]. @param {Matmul} work */
export function matmulInputs({ m, n, k }) {
  return { a: floats(m * k, 1, 1), b: floats(n * k, 2, 1) };
}

/** Weights [out, in] and biases by layer, pictures [batch, in] and labels. @param {Mlp} work */
export function mlpInputs({ batch, sizes }) {
  const layers = sizes.slice(1).map((out, index) => {
    const inputs = sizes[index] ?? 0;
    return {
      inputs,
      out,
      weight: floats(out * inputs, 10 + index, Math.sqrt(3 / inputs)),
      bias: new Float32Array(out),
    };
  });
  return { layers, x: floats(batch * (sizes[0] ?? 0), 3, 1), labels: words(batch, 4, sizes.at(-1) ?? 1) };
}

/** Named tensors of a LLaMA decoder, in the order they are created; `table` and `head` are [vocabulary, width]. @param {Decoder | Decode} work */
export function decoderWeights({ layers, width, mlp, vocabulary }) {
  /** @type {Map<string, { shape: number[], data: Float32Array }>} */
  const tensors = new Map();
  const matrix = (/** @type {string} */ name, /** @type {number} */ out, /** @type {number} */ inputs) =>
    tensors.set(name, { shape: [out, inputs], data: floats(out * inputs, 100 + tensors.size, Math.sqrt(1 / inputs)) });
  const gain = (/** @type {string} */ name) =>
    tensors.set(name, { shape: [width], data: new Float32Array(width).fill(1) });
  tensors.set('table', { shape: [vocabulary, width], data: floats(vocabulary * width, 99, 1) });
  for (let layer = 0; layer < layers; layer++) {
    const at = `layers.${layer}.`;
    gain(`${at}norm1`);
    for (const name of ['q', 'k', 'v', 'o']) matrix(`${at}${name}`, width, width);
    gain(`${at}norm2`);
    matrix(`${at}gate`, mlp, width);
    matrix(`${at}up`, mlp, width);
    matrix(`${at}down`, width, mlp);
  }
  gain('norm');
  matrix('head', vocabulary, width);
  return tensors;
}

/** Token ids [sequences, length + 1]: every token but the last is read, every token but the first predicted. @param {Decoder} work */
export function decoderTokens({ sequences, length, vocabulary }) {
  return words(sequences * (length + 1), 5, vocabulary);
}

/** The first token of every row. @param {Decode} work */
export function decodeStart({ rows, vocabulary }) {
  return words(rows, 6, vocabulary);
}

/** cos and sin [length, headWidth], both halves alike, for x · cos + rotate(x) · sin. @param {number} length @param {number} headWidth */
export function rotaryTables(length, headWidth) {
  const cos = new Float32Array(length * headWidth);
  const sin = new Float32Array(length * headWidth);
  for (let position = 0; position < length; position++)
    for (let i = 0; i < headWidth; i++) {
      const angle = position * ropeBase ** (-(2 * (i % (headWidth / 2))) / headWidth);
      cos[position * headWidth + i] = Math.cos(angle);
      sin[position * headWidth + i] = Math.sin(angle);
    }
  return { cos, sin };
}

/** Pictures [images, side, side, channels[0]] and 3x3 filters [out, y, x, in] with biases. @param {Conv} work */
export function convInputs({ images, side, channels }) {
  const layers = channels.slice(1).map((out, index) => {
    const inputs = channels[index] ?? 0;
    return {
      inputs,
      out,
      weight: floats(out * 9 * inputs, 20 + index, Math.sqrt(1 / (3 * inputs))),
      bias: floats(out, 30 + index, 0.1),
    };
  });
  return { layers, x: floats(images * side * side * (channels[0] ?? 0), 7, 1) };
}

/** [out, y, x, in] into another order of the same axes, e.g. `oiyx`. @param {Float32Array} data @param {number} out @param {number} inputs @param {'oiyx' | 'yxio'} order */
export function filterAs(data, out, inputs, order) {
  const result = new Float32Array(data.length);
  let from = 0;
  for (let o = 0; o < out; o++)
    for (let yx = 0; yx < 9; yx++)
      for (let i = 0; i < inputs; i++)
        result[order === 'oiyx' ? (o * inputs + i) * 9 + yx : (yx * inputs + i) * out + o] = data[from++] ?? 0;
  return result;
}

/** [images, side · side, channels] ↔ [images, channels, side · side]. @param {Float32Array} data @param {number} images @param {number} rows @param {number} columns */
export function transposed(data, images, rows, columns) {
  const result = new Float32Array(data.length);
  let from = 0;
  for (let image = 0; image < images; image++)
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++)
        result[(image * columns + column) * rows + row] = data[from++] ?? 0;
  return result;
}

/** Useful work of one repetition: floating-point operations, or tokens. @param {Workload} work @returns {{ amount: number, unit: 'GFLOP' | 'tokens' }} */
export function workOf(work) {
  if (work.kind === 'matmul') return { amount: (2 * work.m * work.n * work.k) / 1e9, unit: 'GFLOP' };
  if (work.kind === 'mlp')
    return {
      amount:
        (6 * work.batch * work.sizes.slice(1).reduce((sum, out, index) => sum + out * (work.sizes[index] ?? 0), 0)) /
        1e9,
      unit: 'GFLOP',
    };
  if (work.kind === 'conv')
    return {
      amount:
        (2 *
          9 *
          work.images *
          work.side ** 2 *
          work.channels.slice(1).reduce((sum, out, index) => sum + out * (work.channels[index] ?? 0), 0)) /
        1e9,
      unit: 'GFLOP',
    };
  if (work.kind === 'decode') return { amount: work.rows * work.length, unit: 'tokens' };
  return { amount: work.sequences * work.length, unit: 'tokens' };
}
