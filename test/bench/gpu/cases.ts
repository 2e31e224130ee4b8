/** What `npm run bench:gpu` times: products, convolutions, memory, attention, and whole steps at the shapes of published models. */
import { ParameterSet, type WeightStorage } from '../../../core/weights/parameters.ts';
import type { Program } from '../../../core/autograd/program.ts';
import { Workspace } from '../../../core/autograd/workspace.ts';
import { Tape } from '../../../core/autograd/tape.ts';
import type { Device } from '../../../core/gpu/device.ts';
import type { Precision } from '../../../core/gpu/matrix-products.ts';
import { openProducts } from '../../../core/matrix-trial.ts';
import { createSampler } from '../../../core/nn/sampler.ts';
import { conv2d } from '../../../core/ops/conv2d.ts';
import { attention } from '../../../core/ops/attention.ts';
import { add } from '../../../core/ops/add.ts';
import { embedding } from '../../../core/ops/embedding.ts';
import { decoderHidden } from '../../../core/nn/decoder.ts';
import { languageHead } from '../../../core/ops/language-head.ts';
import { linear } from '../../../core/ops/linear.ts';
import { randomFloats } from '../../../core/testing.ts';
import type { Tensor } from '../../../core/tensor/tensor.ts';
import { janusBackbone, janusDecoder, type JanusSizes } from '../../../plugins/janus/backbone.ts';
import optimizers from '../../../plugins/optimizers/index.ts';
import type { Optimizer } from '../../../core/contracts/optimizer.ts';

export interface Shapes {
  readonly products: readonly number[];
  readonly convolution: { readonly images: number; readonly side: number; readonly channels: number };
  readonly copyMebibytes: number;
  readonly gemv: { readonly rows: number; readonly columns: number };
  readonly attention: { readonly tokens: number; readonly heads: number; readonly headDimension: number };
  readonly models: Readonly<Record<string, JanusSizes>>;
  readonly images: { readonly batches: readonly number[]; readonly codes: number; readonly promptTokens: number };
  readonly training: { readonly model: string; readonly sequences: number; readonly tokens: number };
}

const published = {
  textVocabulary: 102400,
  imageVocabulary: 16384,
  codeDimension: 8,
  ropeTheta: 10000,
  normEpsilon: 1e-6,
};

/** Janus-Pro as published (janus-pro config.json); the training step holds f32 weights, gradients and two moments of the 1B decoder. */
export const publishedShapes: Shapes = {
  products: [1024, 4096],
  convolution: { images: 4, side: 384, channels: 128 },
  copyMebibytes: 1024,
  gemv: { rows: 16384, columns: 8192 },
  attention: { tokens: 2048, heads: 16, headDimension: 128 },
  models: {
    'Janus-Pro-1B': { ...published, hidden: 2048, layers: 24, heads: 16, keyValueHeads: 16, mlp: 5632 },
    'Janus-Pro-7B': { ...published, hidden: 4096, layers: 30, heads: 32, keyValueHeads: 32, mlp: 11008 },
  },
  images: { batches: [1, 8, 32], codes: 576, promptTokens: 64 },
  training: { model: 'Janus-Pro-1B', sequences: 4, tokens: 640 },
};

/** The same program on a small machine: shows that everything runs, and measures nothing worth keeping. */
export const smallShapes: Shapes = {
  products: [128],
  convolution: { images: 1, side: 8, channels: 16 },
  copyMebibytes: 1,
  gemv: { rows: 512, columns: 256 },
  attention: { tokens: 64, heads: 2, headDimension: 32 },
  models: {
    small: {
      ...published,
      textVocabulary: 512,
      imageVocabulary: 256,
      hidden: 64,
      layers: 2,
      heads: 2,
      keyValueHeads: 2,
      mlp: 128,
    },
  },
  images: { batches: [1, 2], codes: 8, promptTokens: 8 },
  training: { model: 'small', sequences: 2, tokens: 32 },
};

export interface GpuCase {
  readonly name: string;
  /** Work of one repetition. */
  readonly work: { readonly amount: number; readonly unit: 'TFLOP' | 'GB' | 'tokens' | 'images' };
  /** Repetitions, done when this resolves. */
  run(times: number): Promise<void>;
  /** Bytes of weights a repetition must read at least, for the share of the memory ceiling. */
  readonly readsBytes?: number;
  /** Bytes on the device while it ran. */
  memory?(): number;
  close(): void;
}

function repeatedProgram(
  device: Device,
  name: string,
  work: GpuCase['work'],
  program: Program,
  workspace: Workspace,
  tensors: readonly Tensor[],
  readsBytes?: number,
): GpuCase {
  return {
    name,
    work,
    ...(readsBytes === undefined ? {} : { readsBytes }),
    async run(times) {
      for (let i = 0; i < times; i++) program.run();
      await device.settle();
    },
    close() {
      program.dispose();
      workspace.close();
      for (const tensor of tensors) device.destroyTensor(tensor);
    },
  };
}

/** Throws where the adapter cannot. */
async function productsOf(device: Device, precision: Precision): ReturnType<typeof openProducts> {
  const warn = (why: string): never => {
    throw new RangeError(why);
  };
  return openProducts(device, precision, { info: () => {}, warn });
}

/** x [n, n] · wᵀ with w stored, and the product computed, as told. Throws where the adapter cannot. */
export async function productCase(
  device: Device,
  n: number,
  storage: WeightStorage,
  precision: Precision = 'f32',
): Promise<GpuCase> {
  const products = await productsOf(device, precision);
  const workspace = new Workspace(device, products);
  const weights = await ParameterSet.open(device, [{ name: 'w', shape: [n, n], init: { normal: 1 } }], {
    seed: 1,
    storage,
    initialize: 'device',
  });
  const x = device.tensor('x', [n, n], 'f32', randomFloats(n * n, 2));
  const tape = new Tape(workspace);
  const out = tape.output(linear(tape, x, weights.get('w')));
  const made = repeatedProgram(
    device,
    `product ${n}^3, ${precision === 'f32' ? `weights ${storage}` : precision}`,
    { amount: (2 * n ** 3) / 1e12, unit: 'TFLOP' },
    await tape.finish('product'),
    workspace,
    [x, out],
  );
  return { ...made, close: () => (made.close(), weights.close(), products?.close()) };
}

/** A filter of 3 x 3 over pictures at the finest level of a published codec, as many channels in as out. Throws where the adapter cannot. */
export async function convolutionCase(
  device: Device,
  { images, side, channels }: Shapes['convolution'],
  precision: Precision,
): Promise<GpuCase> {
  const products = await productsOf(device, precision);
  const workspace = new Workspace(device, products);
  const specs = [{ name: 'w', shape: [channels, 3, 3, channels], init: { normal: 1 } }];
  const weights = await ParameterSet.open(device, specs, { seed: 1, initialize: 'device' });
  const x = device.tensor('x', [images, side, side, channels], 'f32', randomFloats(images * side ** 2 * channels, 2));
  const tape = new Tape(workspace);
  const out = tape.output(conv2d(tape, x, weights.get('w'), undefined));
  const made = repeatedProgram(
    device,
    `convolution of ${images} x ${side} x ${side} x ${channels}, ${precision}`,
    { amount: (2 * images * side ** 2 * 9 * channels ** 2) / 1e12, unit: 'TFLOP' },
    await tape.finish('convolution'),
    workspace,
    [x, out],
  );
  return { ...made, close: () => (made.close(), weights.close(), products?.close()) };
}

/** One row times a matrix: nothing but reading the matrix. */
export async function gemvCase(
  device: Device,
  { rows, columns }: Shapes['gemv'],
  storage: WeightStorage,
): Promise<GpuCase> {
  const workspace = new Workspace(device);
  const weights = await ParameterSet.open(device, [{ name: 'w', shape: [rows, columns], init: { normal: 1 } }], {
    seed: 1,
    storage,
    initialize: 'device',
  });
  const x = device.tensor('x', [1, columns], 'f32', randomFloats(columns, 2));
  const tape = new Tape(workspace);
  const out = tape.output(linear(tape, x, weights.get('w')));
  const bytes = rows * columns * (storage === 'f32' ? 4 : 2);
  const made = repeatedProgram(
    device,
    `one row x ${rows}x${columns}, weights ${storage}`,
    { amount: bytes / 1e9, unit: 'GB' },
    await tape.finish('gemv'),
    workspace,
    [x, out],
    bytes,
  );
  return { ...made, close: () => (made.close(), weights.close()) };
}

/** The memory ceiling that the others are held against: a + b, three arrays of the size. */
export async function memoryCases(device: Device, mebibytes: number): Promise<GpuCase[]> {
  const elements = Math.min(mebibytes * 2 ** 18, Math.floor(device.limits.maxStorageBufferBindingSize / 4));
  const workspace = new Workspace(device);
  const [a, b, to] = [device.tensor('a', [elements]), device.tensor('b', [elements]), device.tensor('to', [elements])];
  const copyTape = new Tape(workspace);
  copyTape.copy(a, to);
  const addTape = new Tape(workspace);
  const sum = addTape.output(add(addTape, a, b));
  return [
    repeatedProgram(
      device,
      `copy of ${mebibytes} MiB, read and written`,
      { amount: (8 * elements) / 1e9, unit: 'GB' },
      await copyTape.finish('copy'),
      workspace,
      [],
    ),
    repeatedProgram(
      device,
      `sum of two arrays of ${mebibytes} MiB`,
      { amount: (12 * elements) / 1e9, unit: 'GB' },
      await addTape.finish('sum'),
      workspace,
      [a, b, to, sum],
    ),
  ];
}

/** Causal attention of one sequence; backward included when asked. */
export async function attentionCase(
  device: Device,
  { tokens, heads, headDimension }: Shapes['attention'],
  backward: boolean,
): Promise<GpuCase> {
  const workspace = new Workspace(device);
  const width = heads * headDimension;
  const specs = ['q', 'k', 'v'].map((name) => ({ name, shape: [tokens, width], init: { normal: 1 } }));
  const values = await ParameterSet.open(device, specs, { seed: 1, initialize: 'device', trainable: () => backward });
  const words = (name: string, value: number): Tensor =>
    device.tensor(name, [tokens], 'u32', new Uint32Array(tokens).fill(value));
  const segments = { segmentStart: words('segment start', 0), segmentEnd: words('segment end', tokens) };
  const tape = new Tape(workspace);
  if (backward) values.watch(tape);
  // A copy of the tape's own: attention takes values, and weights only accumulate through them.
  const zero = device.tensor('zero', [tokens, width]);
  const value = (name: string): Tensor => add(tape, values.get(name), zero);
  const out = attention(tape, value('q'), value('k'), value('v'), segments, {
    heads,
    keyValueHeads: heads,
    headDimension,
    causal: true,
  });
  const kept = tape.output(out);
  if (backward) {
    tape.seed(out, kept);
    tape.backward();
  }
  // Causal pairs; two products forward, five more backward.
  const pairs = (tokens * (tokens + 1)) / 2;
  const work = { amount: (2 * (backward ? 7 : 2) * pairs * width) / 1e12, unit: 'TFLOP' } as const;
  const made = repeatedProgram(
    device,
    `attention ${tokens} x ${heads} x ${headDimension}${backward ? ', with backward' : ''}`,
    work,
    await tape.finish('attention'),
    workspace,
    [kept, zero, segments.segmentStart, segments.segmentEnd],
  );
  return { ...made, close: () => (made.close(), values.close()) };
}

/** Pictures from random weights in bf16: a prompt of `promptTokens`, then all codes, guidance 5 (two rows a picture). */
export async function imageCase(
  device: Device,
  model: string,
  sizes: JanusSizes,
  pictures: number,
  { codes, promptTokens }: Shapes['images'],
): Promise<GpuCase> {
  const backbone = janusBackbone(model, sizes);
  const workspace = new Workspace(device);
  const weights = await ParameterSet.open(device, backbone.parameters, {
    seed: 1,
    storage: 'bf16',
    initialize: 'device',
  });
  const sampler = await createSampler({
    device,
    workspace,
    backbone,
    weights,
    rows: pictures,
    promptBudget: promptTokens,
    textBudget: 0,
    imageCount: codes,
    guidance: true,
    special: { imageStart: 1 },
  });
  const prompt = [...Array.from({ length: promptTokens - 1 }, (_, i) => 2 + i), 1];
  const reads = backbone.parameters.reduce(
    (sum, { name, shape }) =>
      sum +
      (name.includes('.layers.') || name.includes('generation_head')
        ? shape.reduce((product, n) => product * n, 2)
        : 0),
    0,
  );
  return {
    name: `${model}, ${pictures} picture${pictures === 1 ? '' : 's'} of ${codes} codes, guidance`,
    work: { amount: pictures, unit: 'images' },
    readsBytes: reads * codes,
    async run(times) {
      for (let i = 0; i < times; i++) {
        await sampler.sample({
          prompts: Array.from({ length: pictures }, () => prompt),
          samplesPerPrompt: 1,
          unconditional: prompt.map((_, index) => (index === promptTokens - 1 ? 1 : 0)),
          seed: i,
          text: { temperature: 1, topK: 0, topP: 1 },
          image: { temperature: 1, topK: 0, topP: 1, guidance: 5 },
          rationale: 'skip',
        });
      }
    },
    memory: () => device.memory.bytes,
    close() {
      sampler.close();
      workspace.close();
      weights.close();
    },
  };
}

/** Forward, backward and AdamW of the decoder on text, every weight trained in f32. */
export async function trainingCase(
  device: Device,
  model: string,
  sizes: JanusSizes,
  sequences: number,
  length: number,
): Promise<GpuCase> {
  const backbone = janusBackbone(model, sizes);
  const workspace = new Workspace(device);
  const specs = backbone.parameters.filter(
    ({ name }) => name.startsWith('model.language_model.') || name === 'lm_head.weight',
  );
  const parameters = await ParameterSet.open(device, specs, { seed: 1, initialize: 'device', trainable: () => true });
  const component = optimizers.provides.find(({ name }) => name === 'adamw');
  if (component === undefined) throw new RangeError('there is no optimizer adamw');
  const optimizer = (component.create(component.options.parse({ learningRate: 1e-5 }), {} as never) as Optimizer).open(
    parameters,
  );
  const count = sequences * length;
  const words = (name: string, of: (index: number) => number): Tensor =>
    device.tensor(
      name,
      [count],
      'u32',
      Uint32Array.from({ length: count }, (_, i) => of(i)),
    );
  const ids = words('ids', (i) => (i * 7919) % sizes.textVocabulary);
  const targets = words('targets', (i) => ((i + 1) * 7919) % sizes.textVocabulary);
  const packed = {
    count,
    textIds: ids,
    textRows: words('rows', (i) => i),
    positions: words('positions', (i) => i % length),
    segmentStart: words('segment start', (i) => i - (i % length)),
    segmentEnd: words('segment end', (i) => i - (i % length) + length),
  };
  const tape = new Tape(workspace, { recompute: true });
  parameters.watch(tape);
  const hidden = decoderHidden(
    tape,
    parameters,
    janusDecoder(sizes),
    embedding(tape, parameters.get('model.language_model.embed_tokens.weight'), ids),
    packed,
  );
  const scored = languageHead(tape, hidden, parameters.get('lm_head.weight'), undefined, targets, { temperature: 1 });
  const seeds = device.tensor(
    'seeds',
    [count, 2],
    'f32',
    Float32Array.from({ length: 2 * count }, (_, i) => (i % 2 === 0 ? -1 / count : 0)),
  );
  tape.seed(scored, seeds);
  tape.backward();
  optimizer.record(tape);
  const program = await tape.finish('training step');
  let steps = 0;
  return {
    name: `${model} decoder, training step of ${sequences} x ${length} tokens (f32, AdamW, blocks recomputed)`,
    work: { amount: count, unit: 'tokens' },
    async run(times) {
      for (let i = 0; i < times; i++) {
        optimizer.prepare(++steps, 1e-5);
        program.run();
      }
      const [norm = 0, wasApplied = 0] = await device.readFloats(optimizer.report);
      if (wasApplied !== 1 || !(norm > 0)) throw new RangeError(`the step learned nothing: gradient norm ${norm}`);
    },
    memory: () => device.memory.bytes,
    close() {
      program.dispose();
      workspace.close();
      parameters.close();
      for (const tensor of [...Object.values(packed), targets, seeds, ...optimizer.state.values()])
        if (typeof tensor !== 'number') device.destroyTensor(tensor);
    },
  };
}
