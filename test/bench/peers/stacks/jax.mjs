/** jax-js: compiled functions on wasm and on WebGPU. An array is used up by what it is given to; `.ref` keeps it for another use. */
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
  transposed,
} from '../workloads.mjs';

/** @param {'wasm' | 'webgpu'} variant */
export async function open(variant) {
  const jax = await import('@jax-js/jax');
  const found = await jax.init(variant);
  if (!found.includes(variant)) throw new Error(`jax-js has no backend ${variant} here`);
  jax.defaultDevice(variant);
  return {
    /** @param {import('../workloads.mjs').Workload} work */
    async prepare(work) {
      if (work.kind === 'matmul') return matmul(jax, work);
      if (work.kind === 'conv') return conv(jax, work);
      if (work.kind === 'mlp') return training(jax, mlp(jax, work), { rate: work.learningRate, decay: 0 });
      if (work.kind === 'decoder')
        return training(jax, decoder(jax, work), { rate: work.learningRate, decay: work.weightDecay });
      return decode(jax, work);
    },
  };
}

/** @param {any} jax @param {Float32Array | Int32Array} data @param {number[]} shape */
function array(jax, data, shape) {
  return jax.numpy.array(data, { shape, dtype: data instanceof Int32Array ? jax.numpy.int32 : jax.numpy.float32 });
}

/** @param {any} jax @param {(...inputs: any[]) => any} compute @param {any[]} inputs @param {(data: Float32Array) => Float32Array} shown */
function forward(jax, compute, inputs, shown = (data) => data) {
  const compiled = jax.jit(compute);
  const once = () => compiled(...inputs.map((input) => input.ref));
  return {
    run: async (/** @type {number} */ times) => {
      // All results are asked for: what is thrown away unread may never be computed.
      const results = Array.from({ length: times }, once);
      await jax.blockUntilReady(results);
      for (const result of results) result.dispose();
    },
    check: async () => shown(await once().data()),
  };
}

/** @param {any} jax @param {import('../workloads.mjs').Matmul} work */
function matmul(jax, work) {
  const { a, b } = matmulInputs(work);
  const inputs = [array(jax, a, [work.m, work.k]), array(jax, transposed(b, 1, work.n, work.k), [work.k, work.n])];
  return forward(jax, (/** @type {any} */ x, /** @type {any} */ y) => jax.numpy.matmul(x, y), inputs);
}

/** @param {any} jax @param {import('../workloads.mjs').Conv} work */
function conv(jax, work) {
  const { layers, x } = convInputs(work);
  const { images, side, channels } = work;
  const inputs = [
    array(jax, transposed(x, images, side * side, channels[0] ?? 0), [images, channels[0] ?? 0, side, side]),
  ];
  for (const { inputs: from, out, weight, bias } of layers)
    inputs.push(array(jax, filterAs(weight, out, from, 'oiyx'), [out, from, 3, 3]), array(jax, bias, [1, out, 1, 1]));
  const compute = (/** @type {any} */ pictures, /** @type {any[]} */ ...filters) => {
    let value = pictures;
    for (let index = 0; index < filters.length; index += 2) {
      const out = jax.lax.convGeneralDilated(value, filters[index], [1, 1], 'SAME').add(filters[index + 1]);
      value = index < filters.length - 2 ? jax.nn.silu(out) : out;
    }
    return value;
  };
  return forward(jax, compute, inputs, (data) => transposed(data, images, channels.at(-1) ?? 0, side * side));
}

/** @param {any} jax @param {any} logits @param {any} targets one-hot */
function crossEntropy(jax, logits, targets) {
  const np = jax.numpy;
  return np.mean(np.sum(jax.nn.logSoftmax(logits, -1).mul(targets), -1)).mul(-1);
}

/** Adam with decoupled decay of matrices, all of a step in one compiled function. @param {any} jax @param {{ start: any[], loss: (...weights: any[]) => any }} model @param {{ rate: number, decay: number }} options */
function training(jax, { start, loss }, { rate, decay }) {
  const np = jax.numpy;
  const count = start.length;
  const gradient = jax.valueAndGrad(loss, { argnums: start.map((_, index) => index) });
  const step = jax.jit((/** @type {any} */ corrections, /** @type {any[]} */ ...state) => {
    const weights = state.slice(0, count);
    const [value, gradients] = gradient(...weights.map((weight) => weight.ref));
    const results = [value];
    const [firsts, seconds] = [state.slice(count, 2 * count), state.slice(2 * count)];
    const moments = firsts.map((first, index) => first.mul(0.9).add(gradients[index].ref.mul(0.1)));
    const squares = seconds.map((second, index) => second.mul(0.999).add(np.square(gradients[index]).mul(0.001)));
    weights.forEach((weight, index) => {
      const kept = decay > 0 && weight.shape.length > 1 ? weight.mul(1 - rate * decay) : weight;
      const root = np.sqrt(squares[index].ref.mul(corrections.ref.slice(1))).add(1e-8);
      results.push(kept.sub(moments[index].ref.mul(corrections.ref.slice(0)).div(root).mul(rate)));
    });
    return [...results, ...moments, ...squares];
  });
  let state = [
    ...start,
    ...start.map((weight) => np.zerosLike(weight.ref)),
    ...start.map((weight) => np.zerosLike(weight.ref)),
  ];
  let steps = 0;
  const once = () => {
    steps += 1;
    const corrections = array(jax, Float32Array.of(1 / (1 - 0.9 ** steps), 1 / (1 - 0.999 ** steps)), [2]);
    const [value, ...next] = step(corrections, ...state);
    state = next;
    return value;
  };
  return {
    run: async (/** @type {number} */ times) => {
      for (let i = 0; i < times; i++) {
        const value = once();
        if (i === times - 1) await value.data();
        else value.dispose();
      }
    },
    check: async () => {
      const losses = [];
      for (let i = 0; i < checkedSteps; i++) losses.push((await once().data())[0]);
      return losses;
    },
  };
}

/** @param {any} jax @param {import('../workloads.mjs').Mlp} work */
function mlp(jax, work) {
  const np = jax.numpy;
  const { layers, x, labels } = mlpInputs(work);
  const start = layers.flatMap(({ inputs, out, weight, bias }) => [
    array(jax, weight, [out, inputs]),
    array(jax, bias, [out]),
  ]);
  const pictures = array(jax, x, [work.batch, work.sizes[0] ?? 0]);
  const targets = jax.nn.oneHot(array(jax, labels, [work.batch]), work.sizes.at(-1));
  const loss = (/** @type {any[]} */ ...weights) => {
    let value = pictures.ref;
    for (let index = 0; index < weights.length; index += 2) {
      const out = np.matmul(value, np.matrixTranspose(weights[index])).add(weights[index + 1]);
      value = index < weights.length - 2 ? jax.nn.silu(out) : out;
    }
    return crossEntropy(jax, value, targets.ref);
  };
  return { start, loss };
}

/** A LLaMA decoder. `get` gives a weight for one use, `attend` takes [rows, width] and returns the same. @param {any} jax @param {number} layers @param {any} embedded @param {(name: string) => any} get @param {(layer: number, q: any, k: any, v: any) => any} attend */
function logitsOf(jax, layers, embedded, get, attend) {
  const np = jax.numpy;
  const project = (/** @type {any} */ x, /** @type {string} */ name) => np.matmul(x, np.matrixTranspose(get(name)));
  const norm = (/** @type {any} */ x, /** @type {string} */ gain) =>
    x.ref.div(np.sqrt(np.mean(np.square(x), -1, { keepdims: true }).add(normEpsilon))).mul(get(gain));
  let x = embedded;
  for (let layer = 0; layer < layers; layer++) {
    const at = `layers.${layer}.`;
    const before = norm(x.ref, `${at}norm1`);
    const attended = attend(
      layer,
      project(before.ref, `${at}q`),
      project(before.ref, `${at}k`),
      project(before, `${at}v`),
    );
    x = x.add(project(attended, `${at}o`));
    const normed = norm(x.ref, `${at}norm2`);
    x = x.add(project(jax.nn.silu(project(normed.ref, `${at}gate`)).mul(project(normed, `${at}up`)), `${at}down`));
  }
  return project(norm(x, 'norm'), 'head');
}

/** Rotary positions, half-split; uses up x, cos and sin. @param {any} jax @param {any} x [..., headWidth] @param {any} cos @param {any} sin */
function rotate(jax, x, cos, sin) {
  const np = jax.numpy;
  const [front, back] = np.split(x.ref, 2, -1);
  return x.mul(cos).add(np.concatenate([back.mul(-1), front], -1).mul(sin));
}

/** @param {any} jax @param {import('../workloads.mjs').Decoder} work */
function decoder(jax, work) {
  const np = jax.numpy;
  const { layers, sequences, length, heads, width, vocabulary } = work;
  const headWidth = width / heads;
  const tensors = decoderWeights(work);
  const names = [...tensors.keys()];
  const start = [...tensors.values()].map(({ shape, data }) => array(jax, data, shape));
  const tokens = decoderTokens(work);
  const part = (/** @type {number} */ from) =>
    Int32Array.from(
      { length: sequences * length },
      (_, i) => tokens[Math.floor(i / length) * (length + 1) + (i % length) + from] ?? 0,
    );
  const oneHot = (/** @type {number} */ from) =>
    jax.nn.oneHot(array(jax, part(from), [sequences * length]), vocabulary);
  const [inputs, targets] = [oneHot(0), oneHot(1)];
  const tables = rotaryTables(length, headWidth);
  const cos = array(jax, tables.cos, [1, 1, length, headWidth]);
  const sin = array(jax, tables.sin, [1, 1, length, headWidth]);
  const mask = array(
    jax,
    Float32Array.from({ length: length * length }, (_, i) => (i % length > Math.floor(i / length) ? -1e9 : 0)),
    [1, 1, length, length],
  );
  const split = (/** @type {any} */ x) => np.transpose(x.reshape([sequences, length, heads, headWidth]), [0, 2, 1, 3]);
  const turn = (/** @type {any} */ x) => rotate(jax, x, cos.ref, sin.ref);
  const loss = (/** @type {any[]} */ ...weights) => {
    const get = (/** @type {string} */ name) => weights[names.indexOf(name)];
    const logits = logitsOf(jax, layers, np.matmul(inputs.ref, get('table')), get, (_layer, q, k, v) => {
      const scores = np
        .matmul(turn(split(q)), np.matrixTranspose(turn(split(k))))
        .mul(1 / Math.sqrt(headWidth))
        .add(mask.ref);
      return np
        .transpose(np.matmul(jax.nn.softmax(scores, -1), split(v)), [0, 2, 1, 3])
        .reshape([sequences * length, width]);
    });
    return crossEntropy(jax, logits, targets.ref);
  };
  return { start, loss };
}

/** A cache of fixed size, written through a mask: a growing one would compile a function a step. @param {any} jax @param {import('../workloads.mjs').Decode} work */
function decode(jax, work) {
  const np = jax.numpy;
  const { rows, length, heads, width, layers, vocabulary } = work;
  const headWidth = width / heads;
  const tensors = decoderWeights(work);
  const names = [...tensors.keys()];
  const weights = [...tensors.values()].map(({ shape, data }) => array(jax, data, shape));
  const tables = rotaryTables(length, headWidth);
  const split = (/** @type {any} */ x) => x.reshape([rows, heads, 1, headWidth]);
  const step = jax.jit(
    (
      /** @type {any} */ ids,
      /** @type {any} */ cos,
      /** @type {any} */ sin,
      /** @type {any} */ here,
      /** @type {any} */ mask,
      /** @type {any[]} */ ...rest
    ) => {
      const used = rest.slice(0, names.length);
      const cache = rest.slice(names.length);
      /** @type {any[]} */ const next = [];
      const get = (/** @type {string} */ name) => used[names.indexOf(name)];
      const embedded = np.matmul(jax.nn.oneHot(ids, vocabulary), get('table'));
      const logits = logitsOf(jax, layers, embedded, get, (layer, q, k, v) => {
        const write = (/** @type {any} */ old, /** @type {any} */ value) => old.add(value.mul(here.ref));
        const keys = write(cache[2 * layer], rotate(jax, split(k), cos.ref, sin.ref));
        const values = write(cache[2 * layer + 1], split(v));
        next.push(keys.ref, values.ref);
        const scores = np
          .matmul(rotate(jax, split(q), cos.ref, sin.ref), np.matrixTranspose(keys))
          .mul(1 / Math.sqrt(headWidth))
          .add(mask.ref);
        return np.matmul(jax.nn.softmax(scores, -1), values).reshape([rows, width]);
      });
      return [np.argmax(logits, -1), ...next];
    },
  );
  const positions = Array.from({ length }, (_, position) => {
    const row = (/** @type {Float32Array} */ table) =>
      array(jax, table.slice(position * headWidth, (position + 1) * headWidth), [headWidth]);
    const here = array(
      jax,
      Float32Array.from({ length }, (_each, i) => (i === position ? 1 : 0)),
      [1, 1, length, 1],
    );
    const mask = array(
      jax,
      Float32Array.from({ length }, (_each, i) => (i > position ? -1e9 : 0)),
      [1, 1, 1, length],
    );
    return [row(tables.cos), row(tables.sin), here, mask];
  });
  const first = array(jax, decodeStart(work), [rows]);
  const once = async () => {
    let ids = first.ref;
    let cache = Array.from({ length: 2 * layers }, () => np.zeros([rows, heads, length, headWidth]));
    const tokens = [];
    for (const inputs of positions) {
      const [next, ...grown] = step(
        ids,
        ...inputs.map((input) => input.ref),
        ...weights.map((weight) => weight.ref),
        ...cache,
      );
      tokens.push(next.ref);
      ids = next;
      cache = grown;
    }
    ids.dispose();
    for (const each of cache) each.dispose();
    return np.stack(tokens, 1).data();
  };
  return {
    run: async (/** @type {number} */ times) => {
      for (let i = 0; i < times; i++) await once();
    },
    check: once,
  };
}
