/** This program, through the API that plugins use: recorded once, replayed. */
import { ParameterSet } from '../../../../core/weights/parameters.ts';
import { Workspace } from '../../../../core/autograd/workspace.ts';
import { Tape } from '../../../../core/autograd/tape.ts';
import type { KeyValueCache, PackedTokens, ParameterSpec } from '../../../../core/contracts/backbone.ts';
import type { Optimizer } from '../../../../core/contracts/optimizer.ts';
import { openDevice, type Device } from '../../../../core/gpu/device.ts';
import { decoderHidden, decoderStep, type DecoderShape } from '../../../../core/compute.ts';
import { conv2d } from '../../../../core/ops/conv2d.ts';
import { embedding } from '../../../../core/ops/embedding.ts';
import { linear } from '../../../../core/ops/linear.ts';
import { tokenLogProbability } from '../../../../core/ops/log-probability.ts';
import { sample, createSamplingSettings } from '../../../../core/ops/sample.ts';
import { silu } from '../../../../core/ops/silu.ts';
import type { Tensor } from '../../../../core/tensor/tensor.ts';
import optimizers from '../../../../plugins/optimizers/index.ts';
import type { Workload } from '../workloads.mjs';
import {
  checkedSteps,
  convInputs,
  decodeStart,
  decoderTokens,
  decoderWeights,
  matmulInputs,
  mlpInputs,
  normEpsilon,
  ropeBase,
} from '../workloads.mjs';

type Of<Kind extends Workload['kind']> = Extract<Workload, { kind: Kind }>;

interface Task {
  run(times: number): Promise<void>;
  check(): Promise<ArrayLike<number>>;
}

export async function open(): Promise<{ prepare(work: Workload): Promise<Task> }> {
  const device = await openDevice();
  return {
    prepare(work) {
      if (work.kind === 'matmul') return matmul(device, work);
      if (work.kind === 'conv') return conv(device, work);
      if (work.kind === 'mlp') return mlp(device, work);
      if (work.kind === 'decoder') return decoder(device, work);
      return decode(device, work);
    },
  };
}

async function matmul(device: Device, work: Of<'matmul'>): Promise<Task> {
  const { a, b } = matmulInputs(work);
  const [x, weight] = [device.tensor('a', [work.m, work.k], 'f32', a), device.tensor('b', [work.n, work.k], 'f32', b)];
  const tape = new Tape(new Workspace(device));
  const out = tape.output(linear(tape, x, weight));
  return forward(device, await tape.finish('matmul'), out);
}

async function conv(device: Device, work: Of<'conv'>): Promise<Task> {
  const { layers, x } = convInputs(work);
  const tape = new Tape(new Workspace(device));
  let value: Tensor = device.tensor('pictures', [work.images, work.side, work.side, work.channels[0] ?? 0], 'f32', x);
  layers.forEach(({ inputs, out, weight, bias }, index) => {
    const result = conv2d(
      tape,
      value,
      device.tensor(`filters ${index}`, [out, 3, 3, inputs], 'f32', weight),
      device.tensor(`bias ${index}`, [out], 'f32', bias),
    );
    value = index < layers.length - 1 ? silu(tape, result) : result;
  });
  const out = tape.output(value);
  return forward(device, await tape.finish('conv'), out);
}

function forward(device: Device, program: { run(): void }, out: Tensor): Task {
  return {
    async run(times) {
      for (let i = 0; i < times; i++) program.run();
      await device.settle();
    },
    async check() {
      program.run();
      return device.readFloats(out);
    },
  };
}

async function mlp(device: Device, work: Of<'mlp'>): Promise<Task> {
  const { layers, x, labels } = mlpInputs(work);
  const specs = layers.flatMap(({ inputs, out, weight, bias }, index): ParameterSpec[] => [
    { name: `weight ${index}`, shape: [out, inputs], init: { values: weight } },
    { name: `bias ${index}`, shape: [out], init: { values: bias } },
  ]);
  const pictures = device.tensor('pictures', [work.batch, work.sizes[0] ?? 0], 'f32', x);
  const targets = device.tensor('labels', [work.batch], 'u32', Uint32Array.from(labels));
  return training(device, specs, { learningRate: work.learningRate, weightDecay: 0, maxNorm: 0 }, (tape, weights) => {
    let value: Tensor = pictures;
    layers.forEach((_layer, index) => {
      const out = linear(tape, value, weights.get(`weight ${index}`), weights.get(`bias ${index}`));
      value = index < layers.length - 1 ? silu(tape, out) : out;
    });
    return tokenLogProbability(tape, value, targets, { temperature: 1 });
  });
}

async function decoder(device: Device, work: Of<'decoder'>): Promise<Task> {
  const tokens = decoderTokens(work);
  const { sequences, length } = work;
  const count = sequences * length;
  const pick = (from: number): Uint32Array =>
    Uint32Array.from(
      { length: count },
      (_, i) => tokens[Math.floor(i / length) * (length + 1) + (i % length) + from] ?? 0,
    );
  const words = (name: string, of: (index: number) => number): Tensor =>
    device.tensor(
      name,
      [count],
      'u32',
      Uint32Array.from({ length: count }, (_, i) => of(i)),
    );
  const ids = device.tensor('ids', [count], 'u32', pick(0));
  const targets = device.tensor('targets', [count], 'u32', pick(1));
  const packed: PackedTokens = {
    count,
    textIds: ids,
    textRows: words('rows', (i) => i),
    positions: words('positions', (i) => i % length),
    segmentStart: words('segment start', (i) => i - (i % length)),
    segmentEnd: words('segment end', (i) => i - (i % length) + length),
  };
  return training(
    device,
    specsOf(work),
    { learningRate: work.learningRate, weightDecay: work.weightDecay, maxNorm: 0 },
    (tape, weights) => {
      const hidden = decoderHidden(tape, weights, shapeOf(work), embedding(tape, weights.get('table'), ids), packed);
      return tokenLogProbability(tape, linear(tape, hidden, weights.get('head')), targets, { temperature: 1 });
    },
  );
}

/** `score` gives (log-probability, entropy) per target; the loss is the mean of the negative log-probabilities. */
async function training(
  device: Device,
  specs: readonly ParameterSpec[],
  options: Readonly<Record<string, number>>,
  score: (tape: Tape, weights: ParameterSet) => Tensor,
): Promise<Task> {
  const parameters = new ParameterSet(device, specs, { seed: 0, trainable: () => true });
  const component = optimizers.provides.find(({ name }) => name === 'adamw');
  if (component === undefined) throw new RangeError('there is no optimizer adamw');
  const optimizer = (component.create(component.options.parse(options), {} as never) as Optimizer).open(parameters);
  const tape = new Tape(new Workspace(device));
  parameters.watch(tape);
  const scored = score(tape, parameters);
  const count = scored.shape[0] ?? 0;
  const kept = tape.output(scored);
  tape.seed(
    scored,
    device.tensor(
      'seeds',
      [count, 2],
      'f32',
      Float32Array.from({ length: 2 * count }, (_, i) => (i % 2 === 0 ? -1 / count : 0)),
    ),
  );
  tape.backward();
  optimizer.record(tape);
  const program = await tape.finish('training step');
  let steps = 0;
  const step = (): void => {
    steps += 1;
    optimizer.prepare(steps, options['learningRate'] ?? 0);
    program.run();
  };
  const loss = async (): Promise<number> =>
    (await device.readFloats(kept)).reduce((sum, value, index) => sum - (index % 2 === 0 ? value / count : 0), 0);
  return {
    async run(times) {
      for (let i = 0; i < times; i++) step();
      await loss();
    },
    async check() {
      const losses: number[] = [];
      for (let i = 0; i < checkedSteps; i++) {
        step();
        losses.push(await loss());
      }
      return losses;
    },
  };
}

async function decode(device: Device, work: Of<'decode'>): Promise<Task> {
  const { rows, length, width, layers } = work;
  const weights = new ParameterSet(device, specsOf(work), { seed: 0 });
  // The first token is given, so the last one drawn stands behind `length` others.
  const capacity = length + 1;
  const cacheRows = device.tensor(
    'cache rows',
    [rows],
    'u32',
    Uint32Array.from({ length: rows }, (_, row) => row),
  );
  const cache: KeyValueCache = {
    rows,
    capacity,
    cacheRows,
    keys: Array.from({ length: layers }, (_, layer) => device.tensor(`keys ${layer}`, [rows, capacity, width])),
    values: Array.from({ length: layers }, (_, layer) => device.tensor(`values ${layer}`, [rows, capacity, width])),
  };
  const state = {
    cacheRows,
    rows: device.tensor('sampled rows', [rows, 4], 'u32'),
    trace: device.tensor('sampled tokens', [rows, capacity, 4], 'u32'),
    current: device.tensor('current tokens', [rows], 'u32'),
    positions: device.tensor('positions', [rows], 'u32'),
  };
  const settings = createSamplingSettings(device, 'greedy');
  settings.set(0, { temperature: 0, topK: 0, topP: 1 });
  const tape = new Tape(new Workspace(device));
  const hidden = decoderStep(
    tape,
    weights,
    shapeOf(work),
    embedding(tape, weights.get('table'), state.current),
    state.positions,
    cache,
  );
  sample(tape, linear(tape, hidden, weights.get('head')), state, settings, {
    phase: 'image',
    guided: false,
    imageStart: work.vocabulary,
  });
  const program = await tape.finish('decode step');
  const start = Uint32Array.from(decodeStart(work));
  const sequence = async (): Promise<Uint32Array> => {
    device.write(
      state.rows,
      Uint32Array.from({ length: rows * 4 }, (_, i) => (i % 4 === 1 ? 1 : 0)),
    );
    device.write(state.positions, new Uint32Array(rows));
    device.write(state.current, start);
    for (let i = 0; i < length; i++) program.run();
    const [trace] = await device.read([state.trace]);
    if (!(trace instanceof Uint32Array)) throw new RangeError('tokens are u32');
    return trace;
  };
  return {
    async run(times) {
      for (let i = 0; i < times; i++) await sequence();
    },
    async check() {
      const trace = await sequence();
      return Uint32Array.from(
        { length: rows * length },
        (_, i) => trace[4 * (Math.floor(i / length) * capacity + 1 + (i % length))] ?? 0,
      );
    },
  };
}

/** Names of the workload under those of the decoder. */
const names: Readonly<Record<string, string>> = {
  norm1: 'input_layernorm',
  norm2: 'post_attention_layernorm',
  ...Object.fromEntries(['q', 'k', 'v', 'o'].map((name) => [name, `self_attn.${name}_proj`])),
  ...Object.fromEntries(['gate', 'up', 'down'].map((name) => [name, `mlp.${name}_proj`])),
};

function specsOf(work: Of<'decoder'> | Of<'decode'>): ParameterSpec[] {
  return [...decoderWeights(work)].map(([name, { shape, data }]): ParameterSpec => {
    const [, layer, part = ''] = /^layers\.(\d+)\.(\w+)$/.exec(name) ?? [];
    const full =
      layer === undefined ? (name === 'norm' ? 'norm.weight' : name) : `layers.${layer}.${names[part]}.weight`;
    return { name: full, shape, init: { values: data } };
  });
}

function shapeOf({ width, layers, heads, mlp: inner }: Of<'decoder'> | Of<'decode'>): DecoderShape {
  return {
    prefix: '',
    hidden: width,
    layers,
    heads,
    keyValueHeads: heads,
    headDimension: width / heads,
    mlp: inner,
    ropeTheta: ropeBase,
    normEpsilon,
    queryKeyNorm: false,
  };
}
