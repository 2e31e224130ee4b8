/** TensorFlow.js: eager ops, on wasm and on WebGPU. */
import { createRequire } from 'node:module';
import { join, dirname } from 'node:path';
import {
  checkedSteps,
  convInputs,
  decodeStart,
  decoderTokens,
  decoderWeights,
  filterAs,
  matmulInputs,
  mlpInputs,
  normEpsilon,
  rotaryTables,
} from '../workloads.mjs';

const require = createRequire(import.meta.url);

/** @param {'wasm' | 'webgpu'} variant */
export async function open(variant) {
  // The whole package: it alone registers the gradients.
  const tf = require('@tensorflow/tfjs');
  if (variant === 'wasm') {
    const wasm = require('@tensorflow/tfjs-backend-wasm');
    wasm.setWasmPaths(`${dirname(require.resolve('@tensorflow/tfjs-backend-wasm'))}/`);
  } else require('@tensorflow/tfjs-backend-webgpu');
  if (!(await tf.setBackend(variant)))
    throw new Error(`tfjs: no backend ${variant} (looked in ${join('node_modules', '@tensorflow')})`);
  await tf.ready();
  return {
    /** @param {import('../workloads.mjs').Workload} work */
    async prepare(work) {
      tf.disposeVariables();
      if (work.kind === 'matmul') return matmul(tf, work);
      if (work.kind === 'mlp') return training(tf, mlp(tf, work));
      if (work.kind === 'decoder') return training(tf, decoder(tf, work));
      if (work.kind === 'conv') return conv(tf, work);
      return decode(tf, work);
    },
  };
}

/** Nothing is computed before it is read, on WebGPU: one element of the last result is. @param {any} tf @param {() => any} once */
function forward(tf, once) {
  return {
    run: async (/** @type {number} */ times) => {
      for (let i = 0; i < times; i++) {
        const out = tf.tidy(once);
        if (i === times - 1) await tf.tidy(() => tf.slice(tf.reshape(out, [-1]), 0, 1)).data();
        out.dispose();
      }
    },
    check: async () => tf.tidy(once).data(),
  };
}

/** @param {any} tf @param {() => any} step runs one step, gives the loss */
function training(tf, step) {
  return {
    run: async (/** @type {number} */ times) => {
      for (let i = 0; i < times; i++) {
        const loss = step();
        if (i === times - 1) await loss.data();
        loss.dispose();
      }
    },
    check: async () => {
      const losses = [];
      for (let i = 0; i < checkedSteps; i++) {
        const loss = step();
        losses.push((await loss.data())[0]);
        loss.dispose();
      }
      return losses;
    },
  };
}

/** @param {any} tf @param {import('../workloads.mjs').Matmul} work */
function matmul(tf, work) {
  const inputs = matmulInputs(work);
  const [a, b] = [tf.tensor2d(inputs.a, [work.m, work.k]), tf.tensor2d(inputs.b, [work.n, work.k])];
  const right = tf.tidy(() => tf.clone(tf.transpose(b)));
  return forward(tf, () => tf.matMul(a, right));
}

/** @param {any} tf @param {import('../workloads.mjs').Conv} work */
function conv(tf, work) {
  const { layers, x } = convInputs(work);
  const pictures = tf.tensor4d(x, [work.images, work.side, work.side, work.channels[0]]);
  const filters = layers.map(({ inputs, out, weight, bias }) => ({
    weight: tf.tensor4d(filterAs(weight, out, inputs, 'yxio'), [3, 3, inputs, out]),
    bias: tf.tensor1d(bias),
  }));
  return forward(tf, () =>
    filters.reduce((value, { weight, bias }, index) => {
      const out = tf.add(tf.conv2d(value, weight, 1, 'same'), bias);
      return index < filters.length - 1 ? tf.mul(out, tf.sigmoid(out)) : out;
    }, pictures),
  );
}

/** @param {any} tf @param {import('../workloads.mjs').Mlp} work */
function mlp(tf, work) {
  const { layers, x, labels } = mlpInputs(work);
  const variables = layers.map(({ inputs, out, weight, bias }) => ({
    weight: tf.variable(tf.tensor2d(weight, [out, inputs])),
    bias: tf.variable(tf.tensor1d(bias)),
  }));
  const pictures = tf.tensor2d(x, [work.batch, work.sizes[0]]);
  const targets = tf.cast(tf.oneHot(tf.tensor1d(labels, 'int32'), work.sizes.at(-1)), 'float32');
  const optimizer = tf.train.adam(work.learningRate, 0.9, 0.999, 1e-8);
  const loss = () => {
    const logits = variables.reduce((value, { weight, bias }, index) => {
      const out = tf.add(tf.matMul(value, weight, false, true), bias);
      return index < variables.length - 1 ? tf.mul(out, tf.sigmoid(out)) : out;
    }, pictures);
    return crossEntropy(tf, logits, targets);
  };
  return () => optimizer.minimize(loss, true);
}

/** @param {any} tf @param {any} logits @param {any} targets one-hot */
function crossEntropy(tf, logits, targets) {
  const shifted = tf.sub(logits, tf.max(logits, -1, true));
  return tf.mean(tf.sub(tf.log(tf.sum(tf.exp(shifted), -1)), tf.sum(tf.mul(shifted, targets), -1)));
}

/** Rotary positions, half-split: x · cos + (-back, front) · sin. @param {any} tf @param {any} x @param {any} cos @param {any} sin */
function rotate(tf, x, cos, sin) {
  const [front, back] = tf.split(x, 2, -1);
  return tf.add(tf.mul(x, cos), tf.mul(tf.concat([tf.neg(back), front], -1), sin));
}

/** A LLaMA decoder over x [sequences · length, width]. @param {any} tf @param {any} work @param {(name: string) => any} get */
function model(tf, work, get) {
  const { layers } = work;
  const norm = (/** @type {any} */ x, /** @type {string} */ gain) =>
    tf.mul(tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), normEpsilon))), get(gain));
  const project = (/** @type {any} */ x, /** @type {string} */ name) => tf.matMul(x, get(name), false, true);
  /** `attend(layer, q, k, v)` gets [rows, heads · headWidth] and returns the same. */
  return (/** @type {any} */ embedded, /** @type {(layer: number, q: any, k: any, v: any) => any} */ attend) => {
    let x = embedded;
    for (let layer = 0; layer < layers; layer++) {
      const at = `layers.${layer}.`;
      const before = norm(x, `${at}norm1`);
      x = tf.add(
        x,
        project(
          attend(layer, project(before, `${at}q`), project(before, `${at}k`), project(before, `${at}v`)),
          `${at}o`,
        ),
      );
      const normed = norm(x, `${at}norm2`);
      const gate = project(normed, `${at}gate`);
      x = tf.add(x, project(tf.mul(tf.mul(gate, tf.sigmoid(gate)), project(normed, `${at}up`)), `${at}down`));
    }
    return project(norm(x, 'norm'), 'head');
  };
}

/** @param {any} tf @param {import('../workloads.mjs').Decoder} work */
function decoder(tf, work) {
  const { sequences, length, heads, width, vocabulary, learningRate, weightDecay } = work;
  const headWidth = width / heads;
  const variables = new Map(
    [...decoderWeights(work)].map(([name, { shape, data }]) => [name, tf.variable(tf.tensor(data, shape))]),
  );
  const get = (/** @type {string} */ name) => variables.get(name);
  const ids = tf.tensor2d(decoderTokens(work), [sequences, length + 1], 'int32');
  const oneHot = (/** @type {number} */ from) =>
    tf.cast(tf.oneHot(tf.reshape(tf.slice(ids, [0, from], [sequences, length]), [-1]), vocabulary), 'float32');
  const [inputs, targets] = [oneHot(0), oneHot(1)];
  const tables = rotaryTables(length, headWidth);
  const [cos, sin] = [tables.cos, tables.sin].map((table) => tf.tensor(table, [1, 1, length, headWidth]));
  const mask = tf.tensor2d(
    Float32Array.from({ length: length * length }, (_, i) => (i % length > Math.floor(i / length) ? -1e9 : 0)),
    [length, length],
  );
  const split = (/** @type {any} */ x) =>
    tf.transpose(tf.reshape(x, [sequences, length, heads, headWidth]), [0, 2, 1, 3]);
  const run = model(tf, work, get);
  const turn = (/** @type {any} */ x) => rotate(tf, x, cos, sin);
  const loss = () => {
    // The gradient of a gather is not there on every backend; a one-hot product is.
    const logits = run(tf.matMul(inputs, get('table')), (_layer, q, k, v) => {
      const scores = tf.add(
        tf.mul(tf.matMul(turn(split(q)), turn(split(k)), false, true), 1 / Math.sqrt(headWidth)),
        mask,
      );
      return tf.reshape(tf.transpose(tf.matMul(tf.softmax(scores), split(v)), [0, 2, 1, 3]), [
        sequences * length,
        width,
      ]);
    });
    return crossEntropy(tf, logits, targets);
  };
  const optimizer = tf.train.adam(learningRate, 0.9, 0.999, 1e-8);
  const matrices = [...variables.values()].filter((variable) => variable.shape.length > 1);
  return () =>
    tf.tidy(() => {
      const { value, grads } = tf.variableGrads(loss);
      // Decoupled decay, before the update.
      for (const variable of matrices) variable.assign(tf.mul(variable, 1 - learningRate * weightDecay));
      optimizer.applyGradients(grads);
      return value;
    });
}

/** @param {any} tf @param {import('../workloads.mjs').Decode} work */
function decode(tf, work) {
  const { rows, length, heads, width, layers } = work;
  const headWidth = width / heads;
  const weights = new Map([...decoderWeights(work)].map(([name, { shape, data }]) => [name, tf.tensor(data, shape)]));
  const tables = rotaryTables(length, headWidth);
  const positions = Array.from({ length }, (_, position) =>
    [tables.cos, tables.sin].map((table) => tf.tensor1d(table.slice(position * headWidth, (position + 1) * headWidth))),
  );
  const start = tf.tensor1d(decodeStart(work), 'int32');
  const run = model(tf, work, (name) => weights.get(name));
  const split = (/** @type {any} */ x) => tf.reshape(x, [rows, heads, 1, headWidth]);
  const turn = (/** @type {any} */ x, /** @type {number} */ position) =>
    rotate(tf, x, positions[position]?.[0], positions[position]?.[1]);
  const once = () => {
    /** @type {{ k: any, v: any }[]} */ const cache = Array.from({ length: layers }, () => ({
      k: undefined,
      v: undefined,
    }));
    let ids = start;
    const tokens = [];
    for (let position = 0; position < length; position++) {
      const logits = run(tf.gather(weights.get('table'), ids), (layer, q, k, v) => {
        const past = cache[layer] ?? { k: undefined, v: undefined };
        past.k = past.k === undefined ? turn(split(k), position) : tf.concat([past.k, turn(split(k), position)], 2);
        past.v = past.v === undefined ? split(v) : tf.concat([past.v, split(v)], 2);
        const scores = tf.mul(tf.matMul(turn(split(q), position), past.k, false, true), 1 / Math.sqrt(headWidth));
        return tf.reshape(tf.matMul(tf.softmax(scores), past.v), [rows, width]);
      });
      ids = tf.argMax(logits, -1);
      tokens.push(ids);
    }
    return tf.stack(tokens, 1);
  };
  return forward(tf, once);
}
