/** The right results in float64, plain loops: what every stack is checked against before it is timed. */
import {
  checkedSteps,
  convInputs,
  decodeStart,
  decoderTokens,
  decoderWeights,
  matmulInputs,
  mlpInputs,
  normEpsilon,
  rotaryTables,
} from './workloads.mjs';

/**
 * What a stack must return for a workload, and how far it may be off. `indices` picks from a large result.
 * @param {import('./workloads.mjs').Workload} work
 * @returns {{ expected: Float64Array | number[], indices?: number[], tolerance: number }}
 */
export function referenceOf(work) {
  if (work.kind === 'matmul') return matmulReference(work);
  if (work.kind === 'mlp') return { expected: mlpLosses(work), tolerance: 1e-3 };
  if (work.kind === 'conv') return convReference(work);
  if (work.kind === 'decode') return decodeReference(work);
  return { expected: [decoderLoss(work)], tolerance: 1e-4 };
}

/** @param {import('./workloads.mjs').Matmul} work */
function matmulReference(work) {
  const { a, b } = matmulInputs(work);
  const indices = Array.from({ length: 500 }, (_, index) => Math.floor((index * work.m * work.n) / 500));
  const expected = indices.map((index) => {
    const [row, column] = [Math.floor(index / work.n), index % work.n];
    let sum = 0;
    for (let k = 0; k < work.k; k++) sum += at(a, row * work.k + k) * at(b, column * work.k + k);
    return sum;
  });
  return { expected, indices, tolerance: 1e-4 * Math.sqrt(work.k) };
}

/** The losses of the first steps: SiLU between layers, mean cross-entropy, Adam (.9, .999, 1e-8). @param {import('./workloads.mjs').Mlp} work */
function mlpLosses({ batch, sizes, learningRate, ...rest }) {
  const { layers, x, labels } = mlpInputs({ batch, sizes, learningRate, ...rest });
  const trained = layers.map(({ inputs, out, weight, bias }) => ({
    inputs,
    out,
    weight: Float64Array.from(weight),
    bias: Float64Array.from(bias),
  }));
  const moments = trained.map(({ weight, bias }) => ({
    weight: [new Float64Array(weight.length), new Float64Array(weight.length)],
    bias: [new Float64Array(bias.length), new Float64Array(bias.length)],
  }));
  const losses = [];
  for (let step = 1; step <= checkedSteps; step++) {
    /** @type {Float64Array[]} */ const inputs = [Float64Array.from(x)];
    /** @type {Float64Array[]} */ const sums = [];
    trained.forEach((layer, index) => {
      const z = product(at2(inputs, index), layer.weight, batch, layer.out, layer.inputs);
      for (let i = 0; i < z.length; i++) z[i] = at(z, i) + at(layer.bias, i % layer.out);
      sums.push(z);
      if (index < trained.length - 1) inputs.push(z.map((value) => value / (1 + Math.exp(-value))));
    });
    const classes = sizes.at(-1) ?? 1;
    const logits = at2(sums, sums.length - 1);
    let gradient = new Float64Array(logits.length);
    let loss = 0;
    for (let row = 0; row < batch; row++) {
      const part = logits.subarray(row * classes, (row + 1) * classes);
      const largest = Math.max(...part);
      const total = part.reduce((sum, value) => sum + Math.exp(value - largest), 0);
      loss += (largest + Math.log(total) - at(part, at(labels, row))) / batch;
      for (let c = 0; c < classes; c++)
        gradient[row * classes + c] =
          (Math.exp(at(part, c) - largest) / total - (c === at(labels, row) ? 1 : 0)) / batch;
    }
    losses.push(loss);
    for (let index = trained.length - 1; index >= 0; index--) {
      const layer = at2(trained, index);
      const input = at2(inputs, index);
      const dWeight = new Float64Array(layer.weight.length);
      const dBias = new Float64Array(layer.out);
      const dInput = new Float64Array(input.length);
      for (let row = 0; row < batch; row++)
        for (let o = 0; o < layer.out; o++) {
          const g = at(gradient, row * layer.out + o);
          dBias[o] = at(dBias, o) + g;
          for (let i = 0; i < layer.inputs; i++) {
            dWeight[o * layer.inputs + i] = at(dWeight, o * layer.inputs + i) + g * at(input, row * layer.inputs + i);
            dInput[row * layer.inputs + i] =
              at(dInput, row * layer.inputs + i) + g * at(layer.weight, o * layer.inputs + i);
          }
        }
      const { weight, bias } = at2(moments, index);
      adam(layer.weight, dWeight, weight, step, learningRate);
      adam(layer.bias, dBias, bias, step, learningRate);
      if (index > 0) {
        const before = at2(sums, index - 1);
        gradient = dInput.map((value, i) => {
          const s = 1 / (1 + Math.exp(-at(before, i)));
          return value * s * (1 + at(before, i) * (1 - s));
        });
      }
    }
  }
  return losses;
}

/** @param {Float64Array} values @param {Float64Array} gradient @param {Float64Array[]} moments @param {number} step @param {number} rate */
function adam(values, gradient, moments, step, rate) {
  const [first, second] = [at2(moments, 0), at2(moments, 1)];
  for (let i = 0; i < values.length; i++) {
    first[i] = 0.9 * at(first, i) + 0.1 * at(gradient, i);
    second[i] = 0.999 * at(second, i) + 0.001 * at(gradient, i) ** 2;
    values[i] =
      at(values, i) -
      (rate * (at(first, i) / (1 - 0.9 ** step))) / (Math.sqrt(at(second, i) / (1 - 0.999 ** step)) + 1e-8);
  }
}

/** @param {import('./workloads.mjs').Conv} work */
function convReference(work) {
  const { layers, x } = convInputs(work);
  const { side } = work;
  // One picture: the kernels treat all alike.
  let value = Float64Array.from(x.subarray(0, side * side * at(work.channels, 0)));
  layers.forEach(({ inputs, out, weight, bias }, index) => {
    const next = new Float64Array(side * side * out);
    for (let y = 0; y < side; y++)
      for (let z = 0; z < side; z++)
        for (let o = 0; o < out; o++) {
          let sum = at(bias, o);
          for (let dy = 0; dy < 3; dy++)
            for (let dx = 0; dx < 3; dx++) {
              const [row, column] = [y + dy - 1, z + dx - 1];
              if (row < 0 || column < 0 || row >= side || column >= side) continue;
              for (let i = 0; i < inputs; i++)
                sum += at(value, (row * side + column) * inputs + i) * at(weight, ((o * 3 + dy) * 3 + dx) * inputs + i);
            }
          next[(y * side + z) * out + o] = index < layers.length - 1 ? sum / (1 + Math.exp(-sum)) : sum;
        }
    value = next;
  });
  const indices = Array.from({ length: 500 }, (_, index) => Math.floor((index * value.length) / 500));
  return { expected: indices.map((index) => at(value, index)), indices, tolerance: 1e-3 };
}

/**
 * Hidden rows after every token of one sequence, [length, vocabulary] logits.
 * @param {import('./workloads.mjs').Decoder | import('./workloads.mjs').Decode} work @param {Map<string, { shape: number[], data: Float32Array }>} weights @param {ArrayLike<number>} ids
 */
function logitsOf({ layers, width, heads, mlp, vocabulary }, weights, ids) {
  const length = ids.length;
  const get = (/** @type {string} */ name) => weights.get(name)?.data ?? new Float32Array();
  const headWidth = width / heads;
  const { cos, sin } = rotaryTables(length, headWidth);
  let x = new Float64Array(length * width);
  for (let t = 0; t < length; t++)
    for (let i = 0; i < width; i++) x[t * width + i] = at(get('table'), at(ids, t) * width + i);
  const norm = (/** @type {Float64Array} */ values, /** @type {Float32Array} */ gain) => {
    const result = new Float64Array(values.length);
    for (let t = 0; t < length; t++) {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += at(values, t * width + i) ** 2;
      const scale = 1 / Math.sqrt(sum / width + normEpsilon);
      for (let i = 0; i < width; i++) result[t * width + i] = at(values, t * width + i) * scale * at(gain, i);
    }
    return result;
  };
  const turn = (/** @type {Float64Array} */ values) => {
    const result = new Float64Array(values.length);
    for (let t = 0; t < length; t++)
      for (let h = 0; h < heads; h++)
        for (let i = 0; i < headWidth; i++) {
          const index = t * width + h * headWidth + i;
          const half = headWidth / 2;
          const other = i < half ? -at(values, index + half) : at(values, index - half);
          result[index] = at(values, index) * at(cos, t * headWidth + i) + other * at(sin, t * headWidth + i);
        }
    return result;
  };
  for (let layer = 0; layer < layers; layer++) {
    const name = (/** @type {string} */ part) => get(`layers.${layer}.${part}`);
    const before = norm(x, name('norm1'));
    const q = turn(product(before, name('q'), length, width, width));
    const k = turn(product(before, name('k'), length, width, width));
    const v = product(before, name('v'), length, width, width);
    const attended = new Float64Array(length * width);
    for (let h = 0; h < heads; h++)
      for (let t = 0; t < length; t++) {
        const scores = Array.from({ length: t + 1 }, (_, s) => {
          let sum = 0;
          for (let i = 0; i < headWidth; i++)
            sum += at(q, t * width + h * headWidth + i) * at(k, s * width + h * headWidth + i);
          return sum / Math.sqrt(headWidth);
        });
        const largest = Math.max(...scores);
        const total = scores.reduce((sum, value) => sum + Math.exp(value - largest), 0);
        scores.forEach((score, s) => {
          const share = Math.exp(score - largest) / total;
          for (let i = 0; i < headWidth; i++)
            attended[t * width + h * headWidth + i] =
              at(attended, t * width + h * headWidth + i) + share * at(v, s * width + h * headWidth + i);
        });
      }
    const projected = product(attended, name('o'), length, width, width);
    x = x.map((value, i) => value + at(projected, i));
    const normed = norm(x, name('norm2'));
    const gate = product(normed, name('gate'), length, mlp, width);
    const up = product(normed, name('up'), length, mlp, width);
    const inner = gate.map((value, i) => (value / (1 + Math.exp(-value))) * at(up, i));
    const down = product(inner, name('down'), length, width, mlp);
    x = x.map((value, i) => value + at(down, i));
  }
  return product(norm(x, get('norm')), get('head'), length, vocabulary, width);
}

/** Mean cross-entropy before any update. @param {import('./workloads.mjs').Decoder} work */
function decoderLoss(work) {
  const tokens = decoderTokens(work);
  const weights = decoderWeights(work);
  let loss = 0;
  for (let sequence = 0; sequence < work.sequences; sequence++) {
    const ids = tokens.subarray(sequence * (work.length + 1), (sequence + 1) * (work.length + 1));
    const logits = logitsOf(work, weights, ids.subarray(0, work.length));
    for (let t = 0; t < work.length; t++) {
      const row = logits.subarray(t * work.vocabulary, (t + 1) * work.vocabulary);
      const largest = Math.max(...row);
      loss +=
        largest + Math.log(row.reduce((sum, value) => sum + Math.exp(value - largest), 0)) - at(row, at(ids, t + 1));
    }
  }
  return loss / (work.sequences * work.length);
}

/** Greedy tokens of the first rows, [rows, length] row by row. @param {import('./workloads.mjs').Decode} work */
function decodeReference(work) {
  const weights = decoderWeights(work);
  const start = decodeStart(work);
  const rows = 2;
  /** @type {number[]} */ const expected = [];
  for (let row = 0; row < rows; row++) {
    const ids = [at(start, row)];
    for (let step = 0; step < work.length; step++) {
      const logits = logitsOf(work, weights, ids).subarray((ids.length - 1) * work.vocabulary);
      ids.push(logits.reduce((best, value, index) => (value > at(logits, best) ? index : best), 0));
    }
    expected.push(...ids.slice(1));
  }
  return { expected, indices: expected.map((_, index) => index), tolerance: 0 };
}

/** a [rows, inner] · bᵀ, b [columns, inner]. @param {ArrayLike<number>} a @param {ArrayLike<number>} b @param {number} rows @param {number} columns @param {number} inner */
function product(a, b, rows, columns, inner) {
  const out = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      let sum = 0;
      for (let k = 0; k < inner; k++) sum += at(a, row * inner + k) * at(b, column * inner + k);
      out[row * columns + column] = sum;
    }
  return out;
}

/** @param {ArrayLike<number>} values @param {number} index */
function at(values, index) {
  const value = values[index];
  if (value === undefined) throw new RangeError(`index ${index} of ${values.length} values`);
  return value;
}

/** @template T @param {readonly T[]} values @param {number} index @returns {T} */
function at2(values, index) {
  const value = values[index];
  if (value === undefined) throw new RangeError(`index ${index} of ${values.length} values`);
  return value;
}
