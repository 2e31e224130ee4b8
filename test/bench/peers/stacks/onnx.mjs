/** onnxruntime from npm: the native CPU and WebGPU providers of onnxruntime-node, wasm and WebGPU of onnxruntime-web. It cannot train. */
import { OnnxGraph } from '../onnx-model.mjs';
import {
  convInputs,
  decodeStart,
  decoderWeights,
  filterAs,
  matmulInputs,
  normEpsilon,
  rotaryTables,
  transposed,
} from '../workloads.mjs';

/** @param {'node-cpu' | 'node-webgpu' | 'web-wasm' | 'web-webgpu'} variant */
export async function open(variant) {
  const isNode = variant.startsWith('node');
  const ort = await import(
    isNode ? 'onnxruntime-node' : variant === 'web-wasm' ? 'onnxruntime-web' : 'onnxruntime-web/webgpu'
  );
  const provider = variant.split('-')[1] ?? '';
  /** @param {Uint8Array} model */
  const session = (model) =>
    ort.InferenceSession.create(model, { executionProviders: [provider], logSeverityLevel: 3 });
  return {
    /** @param {import('../workloads.mjs').Workload} work */
    async prepare(work) {
      if (work.kind === 'matmul') return matmul(ort, session, work);
      if (work.kind === 'conv') return conv(ort, session, work);
      if (work.kind === 'decode') return decode(ort, session, work);
      return undefined;
    },
  };
}

/** @param {any} ort @param {(model: Uint8Array) => Promise<any>} session @param {import('../workloads.mjs').Matmul} work */
async function matmul(ort, session, work) {
  const { a, b } = matmulInputs(work);
  const graph = new OnnxGraph();
  graph.node(
    'MatMul',
    [graph.input('a', [work.m, work.k]), graph.weight('b', [work.k, work.n], transposed(b, 1, work.n, work.k))],
    {},
    graph.output('out', [work.m, work.n]),
  );
  const opened = await session(graph.finish());
  const feed = { a: new ort.Tensor('float32', a, [work.m, work.k]) };
  return {
    run: repeated(() => opened.run(feed)),
    check: async () => (await opened.run(feed)).out.data,
  };
}

/** @param {any} ort @param {(model: Uint8Array) => Promise<any>} session @param {import('../workloads.mjs').Conv} work */
async function conv(ort, session, work) {
  const { layers, x } = convInputs(work);
  const { images, side, channels } = work;
  const graph = new OnnxGraph();
  const [first = 0, last = 0] = [channels[0], channels.at(-1)];
  let value = graph.input('x', [images, first, side, side]);
  layers.forEach(({ inputs, out, weight, bias }, index) => {
    const isLast = index === layers.length - 1;
    const attributes = { kernel_shape: [3, 3], pads: [1, 1, 1, 1] };
    const operands = [
      value,
      graph.weight(`w${index}`, [out, inputs, 3, 3], filterAs(weight, out, inputs, 'oiyx')),
      graph.weight(`b${index}`, [out], bias),
    ];
    value = isLast
      ? graph.node('Conv', operands, attributes, graph.output('out', [images, last, side, side]))
      : graph.node('Conv', operands, attributes);
    if (!isLast) value = graph.node('Mul', [value, graph.node('Sigmoid', [value])]);
  });
  const opened = await session(graph.finish());
  const feed = { x: new ort.Tensor('float32', transposed(x, images, side * side, first), [images, first, side, side]) };
  return {
    run: repeated(() => opened.run(feed)),
    check: async () => transposed((await opened.run(feed)).out.data, images, last, side * side),
  };
}

/** Keys and values grow by concatenation, as exported models do it. @param {any} ort @param {(model: Uint8Array) => Promise<any>} session @param {import('../workloads.mjs').Decode} work */
async function decode(ort, session, work) {
  const { layers, width, heads, vocabulary, rows, length } = work;
  const headWidth = width / heads;
  const graph = new OnnxGraph();
  const weights = decoderWeights(work);
  const data = (/** @type {string} */ name) => weights.get(name)?.data ?? new Float32Array();
  const get = (/** @type {string} */ name) => {
    const { shape: [out = 0, inputs] = [] } = weights.get(name) ?? {};
    return inputs === undefined
      ? graph.weight(name, [out], data(name))
      : graph.weight(name, [inputs, out], transposed(data(name), 1, out, inputs));
  };
  const norm = (/** @type {string} */ x, /** @type {string} */ gain) => {
    const mean = graph.node('ReduceMean', [graph.node('Mul', [x, x])], { axes: [-1] });
    return graph.node('Mul', [
      graph.node('Div', [x, graph.node('Sqrt', [graph.node('Add', [mean, graph.scalar(normEpsilon)])])]),
      get(gain),
    ]);
  };
  const split = (/** @type {string} */ x) => graph.node('Reshape', [x, graph.integers(rows, heads, 1, headWidth)]);
  const cos = graph.input('cos', [headWidth]);
  const sin = graph.input('sin', [headWidth]);
  const half = headWidth / 2;
  const turn = (/** @type {string} */ x) => {
    const front = graph.node('Slice', [x, graph.integers(0), graph.integers(half), graph.integers(3)]);
    const back = graph.node('Slice', [x, graph.integers(half), graph.integers(headWidth), graph.integers(3)]);
    const swapped = graph.node('Concat', [graph.node('Neg', [back]), front], { axis: 3 });
    return graph.node('Add', [graph.node('Mul', [x, cos]), graph.node('Mul', [swapped, sin])]);
  };
  let x = graph.node('Gather', [
    graph.weight('table', [vocabulary, width], data('table')),
    graph.input('ids', [rows], 'int64'),
  ]);
  for (let layer = 0; layer < layers; layer++) {
    const at = `layers.${layer}.`;
    const before = norm(x, `${at}norm1`);
    const project = (/** @type {string} */ name) => graph.node('MatMul', [before, get(`${at}${name}`)]);
    const grow = (/** @type {string} */ name, /** @type {string} */ value) =>
      graph.node(
        'Concat',
        [graph.input(`past ${name} ${layer}`, [rows, heads, 'past', headWidth]), value],
        { axis: 2 },
        graph.output(`${name} ${layer}`, [rows, heads, 'total', headWidth]),
      );
    const q = turn(split(project('q')));
    const keys = grow('k', turn(split(project('k'))));
    const values = grow('v', split(project('v')));
    const scores = graph.node('Mul', [
      graph.node('MatMul', [q, graph.node('Transpose', [keys], { perm: [0, 1, 3, 2] })]),
      graph.scalar(1 / Math.sqrt(headWidth)),
    ]);
    const attended = graph.node('Reshape', [
      graph.node('MatMul', [graph.node('Softmax', [scores], { axis: -1 }), values]),
      graph.integers(rows, width),
    ]);
    x = graph.node('Add', [x, graph.node('MatMul', [attended, get(`${at}o`)])]);
    const normed = norm(x, `${at}norm2`);
    const gate = graph.node('MatMul', [normed, get(`${at}gate`)]);
    const inner = graph.node('Mul', [
      graph.node('Mul', [gate, graph.node('Sigmoid', [gate])]),
      graph.node('MatMul', [normed, get(`${at}up`)]),
    ]);
    x = graph.node('Add', [x, graph.node('MatMul', [inner, get(`${at}down`)])]);
  }
  graph.node(
    'ArgMax',
    [graph.node('MatMul', [norm(x, 'norm'), get('head')])],
    { axis: -1, keepdims: 0 },
    graph.output('next', [rows], 'int64'),
  );
  const opened = await session(graph.finish());
  const tables = rotaryTables(length, headWidth);
  const start = BigInt64Array.from(decodeStart(work), BigInt);
  const sequence = async () => {
    /** @type {Record<string, any>} */ const feed = { ids: new ort.Tensor('int64', start, [rows]) };
    for (let layer = 0; layer < layers; layer++)
      for (const name of ['k', 'v'])
        feed[`past ${name} ${layer}`] = new ort.Tensor('float32', new Float32Array(), [rows, heads, 0, headWidth]);
    /** @type {number[][]} */ const tokens = [];
    for (let position = 0; position < length; position++) {
      for (const [name, table] of Object.entries(tables))
        feed[name] = new ort.Tensor('float32', table.slice(position * headWidth, (position + 1) * headWidth), [
          headWidth,
        ]);
      const results = await opened.run(feed);
      for (let layer = 0; layer < layers; layer++)
        for (const name of ['k', 'v']) feed[`past ${name} ${layer}`] = results[`${name} ${layer}`];
      feed['ids'] = results.next;
      tokens.push(Array.from(results.next.data, Number));
    }
    return Array.from({ length: rows }, (_, row) => tokens.map((step) => step[row] ?? -1)).flat();
  };
  return { run: repeated(sequence), check: sequence };
}

/** @param {() => Promise<unknown>} once */
function repeated(once) {
  return async (/** @type {number} */ times) => {
    for (let i = 0; i < times; i++) await once();
  };
}
