/**
 * Every op on an adapter against float64: values, gradients by differences, odd sizes, weights in every storage, whole decoding steps.
 * `reasongen verify-device` runs it where the program will run; a driver that computes wrongly is found before a run is trained on it.
 */
import { AdaptedWeights, adapterSpecs } from '../weights/adapters.ts';
import { ParameterSet, type WeightStorage } from '../weights/parameters.ts';
import { Workspace } from '../autograd/workspace.ts';
import { Tape } from '../autograd/tape.ts';
import type { ParameterSpec } from '../contracts/backbone.ts';
import type { Device } from '../gpu/device.ts';
import { add } from '../ops/add.ts';
import { attention } from '../ops/attention.ts';
import { conv2d } from '../ops/conv2d.ts';
import { embedding } from '../ops/embedding.ts';
import { gelu } from '../ops/gelu.ts';
import { groupNorm } from '../ops/group-norm.ts';
import { languageHead } from '../ops/language-head.ts';
import { layerNorm } from '../ops/layer-norm.ts';
import { linear } from '../ops/linear.ts';
import { tokenLogProbability } from '../ops/log-probability.ts';
import { multiply } from '../ops/pointwise.ts';
import { sumAll, sumRows } from '../ops/reduce.ts';
import { rmsNorm } from '../ops/rms-norm.ts';
import { rotary } from '../ops/rotary.ts';
import { gatherRows } from '../ops/rows.ts';
import { createSamplingSettings, sample } from '../ops/sample.ts';
import { silu } from '../ops/silu.ts';
import { softmax } from '../ops/softmax.ts';
import { swiglu } from '../ops/swiglu.ts';
import { upsampleConv2d } from '../ops/upsample.ts';
import { sizeOf } from '../tensor/tensor.ts';
import { at, randomFloats, randomWords, relativeError } from './arrays.ts';
import { checkOp, type OpErrors, type OpInput } from './check-op.ts';
import {
  attended,
  byRow,
  convolved,
  geluOf,
  meanOf,
  productOf,
  scored,
  softmaxOf,
  standardised,
  turned,
  type ConvolutionSizes,
} from './oracles.ts';

export interface DeviceCase {
  readonly op: string;
  /** Sizes or storage, as the table shows them. */
  readonly form: string;
  /** @throws Error that says what is wrong */
  readonly run: (device: Device) => Promise<OpErrors>;
}

const floats = (shape: readonly number[], seed: number, scale = 1): OpInput => ({
  shape,
  data: randomFloats(sizeOf(shape), seed, scale),
});
const words = (count: number, seed: number, limit: number): OpInput => ({
  shape: [count],
  data: randomWords(count, seed, limit),
});
const logistic = (x: number): number => 1 / (1 + Math.exp(-x));

/** Rows, columns and length of the sum: one, primes, past the edges of every tile. */
const products = [
  [1, 1, 1],
  [7, 13, 5],
  [3, 96, 64],
  [17, 31, 29],
  [33, 40, 64],
  [129, 130, 132],
  [256, 256, 64],
] as const;

const productCases = products.map(([rows, columns, inner]): DeviceCase => ({
  op: 'linear',
  form: `${rows} x ${columns} x ${inner}, bias`,
  run: (device) =>
    checkOp({
      device,
      inputs: { x: floats([rows, inner], 1), weight: floats([columns, inner], 2), bias: floats([columns], 3) },
      op: (tape, { x, weight, bias }) => linear(tape, x, weight, bias),
      oracle: ({ x, weight, bias }) => productOf(x, weight, inner, bias),
    }),
}));

/** The weight as the device holds it is the oracle's: rounding by storage is not an error of the product. */
const storageCases = (['f16', 'bf16', 'int8', 'int4'] as const).flatMap((storage): DeviceCase[] =>
  [1, 21, 150].map((rows) => ({
    op: 'linear, stored weight',
    form: `${storage}, ${rows} x 72 x 128`,
    run: (device) => storedProduct(device, storage, rows, false),
  })),
);

const adapterCases = (['f32', 'bf16', 'int8'] as const).map((storage): DeviceCase => ({
  op: 'linear with adapter',
  form: `${storage}, rank 4, 21 x 72 x 128`,
  run: (device) => storedProduct(device, storage, 21, true),
}));

async function storedProduct(
  device: Device,
  storage: WeightStorage,
  rows: number,
  adapted: boolean,
): Promise<OpErrors> {
  const specs: ParameterSpec[] = [{ name: 'm.weight', shape: [72, 128], init: { normal: 1 } }];
  const base = new ParameterSet(device, specs, { seed: 5, storage });
  const held = Float64Array.from(await base.readTensor('m.weight', 'values'));
  const low = adapterSpecs(specs, { match: () => true, rank: 4 }).map((spec): ParameterSpec => ({
    ...spec,
    init: { normal: 0.5 },
  }));
  const adapters = new ParameterSet(device, low, { seed: 6 });
  const down = await adapters.readTensor('m.lora_A.weight', 'values');
  const up = await adapters.readTensor('m.lora_B.weight', 'values');
  const weights = adapted ? new AdaptedWeights(base, adapters, { match: () => true, rank: 4, alpha: 8 }) : base;
  try {
    return await checkOp({
      device,
      inputs: { x: floats([rows, 128], 7) },
      op: (tape, { x }) => linear(tape, x, weights.get('m.weight')),
      oracle: ({ x }) => {
        const plain = productOf(x, held, 128);
        if (!adapted) return plain;
        const added = productOf(productOf(x, down, 128), up, 4);
        return plain.map((value, index) => value + 2 * at(added, index));
      },
    });
  } finally {
    base.close();
    adapters.close();
  }
}

const rowCases: readonly DeviceCase[] = [
  {
    op: 'embedding',
    form: '50 rows of 24, 37 ids',
    run: (device) =>
      checkOp({
        device,
        inputs: { table: floats([50, 24], 1), ids: words(37, 2, 50) },
        op: (tape, { table, ids }) => embedding(tape, table, ids),
        oracle: ({ table, ids }) =>
          Float64Array.from([...ids].flatMap((id) => [...table.subarray(id * 24, (id + 1) * 24)])),
      }),
  },
  {
    op: 'gather rows',
    form: '19 of 40 rows of 12',
    run: (device) =>
      checkOp({
        device,
        inputs: { x: floats([40, 12], 1), rows: words(19, 3, 40) },
        op: (tape, { x, rows }) => gatherRows(tape, x, rows),
        oracle: ({ x, rows }) =>
          Float64Array.from([...rows].flatMap((row) => [...x.subarray(row * 12, (row + 1) * 12)])),
      }),
  },
  ...[
    [1, 8],
    [37, 128],
    [70, 336],
  ].map(([rows = 0, width = 0]): DeviceCase => ({
    op: 'RMSNorm',
    form: `${rows} x ${width}`,
    run: (device) =>
      checkOp({
        device,
        inputs: { x: floats([rows, width], 1), weight: floats([width], 2) },
        op: (tape, { x, weight }) => rmsNorm(tape, x, weight, 1e-6),
        oracle: ({ x, weight }) =>
          byRow(x, width, (row) => {
            const length = Math.sqrt(meanOf(row.map((value) => value * value)) + 1e-6);
            return row.map((value, i) => (value / length) * at(weight, i));
          }),
      }),
  })),
  {
    op: 'LayerNorm',
    form: '37 x 60',
    run: (device) =>
      checkOp({
        device,
        inputs: { x: floats([37, 60], 1), weight: floats([60], 2), bias: floats([60], 3) },
        op: (tape, { x, weight, bias }) => layerNorm(tape, x, weight, bias, 1e-5),
        oracle: ({ x, weight, bias }) =>
          byRow(x, 60, (row) => standardised(row, 1e-5).map((value, i) => value * at(weight, i) + at(bias, i))),
      }),
  },
  {
    op: 'softmax',
    form: '23 x 301',
    run: (device) =>
      checkOp({
        device,
        inputs: { x: floats([23, 301], 1, 4) },
        op: (tape, { x }) => softmax(tape, x),
        oracle: ({ x }) => byRow(x, 301, softmaxOf),
      }),
  },
  {
    op: 'sums',
    form: 'of rows and of all, 41 x 77',
    run: (device) =>
      checkOp({
        device,
        inputs: { x: floats([41, 77], 1) },
        op: (tape, { x }) =>
          add(tape, sumRows(tape, x), multiply(tape, sumRows(tape, x), sumRows(tape, multiply(tape, x, x)))),
        oracle: ({ x }) =>
          byRow(x, 77, (row) => {
            const sum = 77 * meanOf(row);
            return [sum + sum * 77 * meanOf(row.map((value) => value * value))];
          }),
        valueTolerance: 1e-5,
      }),
  },
  {
    op: 'sums',
    form: 'of 100003 values',
    run: (device) =>
      checkOp({
        device,
        inputs: { x: floats([100_003], 1) },
        op: (tape, { x }) => sumAll(tape, x),
        oracle: ({ x }) => Float64Array.of(x.length * meanOf(x)),
        valueTolerance: 1e-4,
      }),
  },
];

const pointwise: Readonly<
  Record<
    string,
    readonly [(tape: Tape, x: Parameters<typeof silu>[1]) => ReturnType<typeof silu>, (x: number) => number]
  >
> = {
  SiLU: [silu, (x) => x * logistic(x)],
  'GELU, exact': [(tape, x) => gelu(tape, x), geluOf],
  'GELU, tanh': [
    (tape, x) => gelu(tape, x, 'tanh'),
    (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  ],
};

const pointwiseCases: readonly DeviceCase[] = [
  ...Object.entries(pointwise).map(([op, [made, exact]]): DeviceCase => ({
    op,
    form: '1003 values',
    run: (device) =>
      checkOp({
        device,
        inputs: { x: floats([1003], 1, 5) },
        op: (tape, { x }) => made(tape, x),
        oracle: ({ x }) => x.map(exact),
        valueTolerance: 2e-6,
      }),
  })),
  {
    op: 'SwiGLU',
    form: '1003 values',
    run: (device) =>
      checkOp({
        device,
        inputs: { gate: floats([1003], 1, 3), up: floats([1003], 2) },
        op: (tape, { gate, up }) => swiglu(tape, gate, up),
        oracle: ({ gate, up }) => gate.map((value, i) => value * logistic(value) * at(up, i)),
      }),
  },
];

const attentionSizes = [
  { heads: 4, keyValueHeads: 4, headDimension: 32, causal: true, segments: [1, 17, 8, 30] },
  { heads: 4, keyValueHeads: 2, headDimension: 64, causal: true, segments: [33, 5] },
  { heads: 2, keyValueHeads: 2, headDimension: 72, causal: false, segments: [25, 9] },
  { heads: 1, keyValueHeads: 1, headDimension: 128, causal: true, segments: [40] },
];

const attentionCases: readonly DeviceCase[] = [
  ...attentionSizes.map((sizes): DeviceCase => {
    const { heads, keyValueHeads, headDimension, causal, segments } = sizes;
    const rows = segments.reduce((sum, length) => sum + length, 0);
    const starts = segments.flatMap((length, index) =>
      Array.from({ length }, () => segments.slice(0, index).reduce((sum, each) => sum + each, 0)),
    );
    const ends = segments.flatMap((length, index) =>
      Array.from({ length }, () => segments.slice(0, index + 1).reduce((sum, each) => sum + each, 0)),
    );
    return {
      op: 'attention',
      form: `${heads}/${keyValueHeads} heads of ${headDimension}, ${causal ? 'causal' : 'both ways'}, segments ${segments.join(' ')}`,
      run: (device) =>
        checkOp({
          device,
          inputs: {
            q: floats([rows, heads * headDimension], 1),
            k: floats([rows, keyValueHeads * headDimension], 2),
            v: floats([rows, keyValueHeads * headDimension], 3),
            segmentStart: { shape: [rows], data: Uint32Array.from(starts) },
            segmentEnd: { shape: [rows], data: Uint32Array.from(ends) },
          },
          op: (tape, { q, k, v, segmentStart, segmentEnd }) =>
            attention(tape, q, k, v, { segmentStart, segmentEnd }, { heads, keyValueHeads, headDimension, causal }),
          oracle: ({ q, k, v }) => attended(q, k, v, sizes),
          valueTolerance: 3e-6,
        }),
    };
  }),
  {
    op: 'rotary positions',
    form: '29 rows, 3 heads of 16',
    run: (device) =>
      checkOp({
        device,
        inputs: { x: floats([29, 48], 1), positions: words(29, 2, 600) },
        op: (tape, { x, positions }) => rotary(tape, x, positions, { heads: 3, headDimension: 16, theta: 10000 }),
        oracle: ({ x, positions }) => turned(x, positions, 3, 16, 10000),
        // sin and cos of an angle of hundreds, reduced in f32.
        valueTolerance: 1e-4,
        gradientTolerance: 1e-4,
      }),
  },
];

const headCases: readonly DeviceCase[] = [
  {
    op: 'log-probability',
    form: '31 x 417, temperature .7',
    run: (device) =>
      checkOp({
        device,
        inputs: { logits: floats([31, 417], 1, 4), targets: words(31, 2, 417) },
        op: (tape, { logits, targets }) => tokenLogProbability(tape, logits, targets, { temperature: 0.7 }),
        oracle: ({ logits, targets }) => scored(logits, 417, targets, 0.7),
        valueTolerance: 3e-6,
      }),
  },
  {
    op: 'fused language head',
    form: '19 x 500, width 24, chunks of 128',
    run: (device) =>
      checkOp({
        device,
        inputs: {
          hidden: floats([19, 24], 1),
          weight: floats([500, 24], 2),
          bias: floats([500], 3),
          ids: words(19, 4, 500),
        },
        op: (tape, { hidden, weight, bias, ids }) =>
          languageHead(tape, hidden, weight, bias, ids, { temperature: 1, chunk: 128 }),
        oracle: ({ hidden, weight, bias, ids }) => scored(productOf(hidden, weight, 24, bias), 500, ids, 1),
        valueTolerance: 3e-6,
      }),
  },
  { op: 'sampling', form: 'the likeliest of 1000, ties apart', run: greedySampling },
];

/** Greedy tokens are the largest logits; nothing random is in them. */
async function greedySampling(device: Device): Promise<OpErrors> {
  const [rows, vocabulary] = [9, 1000];
  const values = randomFloats(rows * vocabulary, 3, 5);
  const workspace = new Workspace(device);
  const tape = new Tape(workspace);
  const whole = (name: string, shape: readonly number[], data?: Uint32Array): ReturnType<Device['tensor']> =>
    device.tensor(name, shape, 'u32', data);
  const state = {
    cacheRows: whole(
      'cache rows',
      [rows],
      Uint32Array.from({ length: rows }, (_, row) => row),
    ),
    rows: whole('rows', [rows, 4]),
    trace: whole('trace', [rows, 4, 4]),
    current: whole('current', [rows]),
    positions: whole('positions', [rows]),
  };
  const settings = createSamplingSettings(device, 'settings');
  settings.set(1, { temperature: 0, topK: 0, topP: 1 });
  const logits = device.tensor('logits', [rows, vocabulary], 'f32', values);
  sample(tape, logits, state, settings, { phase: 'image', guided: false, imageStart: 0 });
  const program = await tape.finish('sampling');
  program.run();
  const [tokens] = await device.read([state.current]);
  program.dispose();
  workspace.close();
  for (const tensor of [...Object.values(state), settings.tensor, logits]) device.destroyTensor(tensor);
  for (let row = 0; row < rows; row++) {
    const part = values.subarray(row * vocabulary, (row + 1) * vocabulary);
    const expected = part.indexOf(Math.max(...part));
    if (tokens?.[row] !== expected)
      throw new Error(`row ${row} drew ${String(tokens?.[row])}, its largest logit is ${expected}`);
  }
  return { value: 0, gradient: 0 };
}

const convolutions: readonly ConvolutionSizes[] = [
  { images: 2, side: 9, inChannels: 4, outChannels: 12, kernel: 3, stride: 1, before: 1, after: 1 },
  { images: 1, side: 10, inChannels: 12, outChannels: 40, kernel: 3, stride: 2, before: 0, after: 1 },
  { images: 1, side: 7, inChannels: 5, outChannels: 7, kernel: 1, stride: 1, before: 0, after: 0 },
];

const pictureCases: readonly DeviceCase[] = [
  ...convolutions.map((sizes): DeviceCase => {
    const { images, side, inChannels, outChannels, kernel, stride, before, after } = sizes;
    return {
      op: 'convolution',
      form: `${kernel}x${kernel}, stride ${stride}, ${images} x ${side}x${side}, ${inChannels} → ${outChannels}`,
      run: (device) =>
        checkOp({
          device,
          inputs: {
            x: floats([images, side, side, inChannels], 1),
            weight: floats([outChannels, kernel, kernel, inChannels], 2),
            bias: floats([outChannels], 3),
          },
          op: (tape, { x, weight, bias }) =>
            conv2d(tape, x, weight, bias, { stride: stride === 2 ? 2 : 1, padding: { before, after } }),
          oracle: ({ x, weight, bias }) => convolved(x, weight, bias, sizes),
        }),
    };
  }),
  {
    op: 'enlarged convolution',
    form: '5x5 → 10x10, 8 → 12',
    run: (device) =>
      checkOp({
        device,
        inputs: { x: floats([1, 5, 5, 8], 1), weight: floats([12, 3, 3, 8], 2), bias: floats([12], 3) },
        op: (tape, { x, weight, bias }) => upsampleConv2d(tape, x, weight, bias),
        oracle: ({ x, weight, bias }) => {
          const large = Float64Array.from({ length: 800 }, (_, i) =>
            at(x, (Math.floor(i / 160) * 5 + Math.floor((Math.floor(i / 8) % 10) / 2)) * 8 + (i % 8)),
          );
          return convolved(large, weight, bias, {
            images: 1,
            side: 10,
            inChannels: 8,
            outChannels: 12,
            kernel: 3,
            stride: 1,
            before: 1,
            after: 1,
          });
        },
      }),
  },
  {
    op: 'GroupNorm',
    form: '2 x 6x6x12, 3 groups',
    run: (device) =>
      checkOp({
        device,
        inputs: { x: floats([2, 6, 6, 12], 1), weight: floats([12], 2), bias: floats([12], 3) },
        op: (tape, { x, weight, bias }) => groupNorm(tape, x, weight, bias, { groups: 3, epsilon: 1e-6 }),
        oracle: ({ x, weight, bias }) => {
          const out = new Float64Array(x.length);
          for (let image = 0; image < 2; image++)
            for (let group = 0; group < 3; group++) {
              const indices = Array.from(
                { length: 144 },
                (_, i) => image * 432 + Math.floor(i / 4) * 12 + group * 4 + (i % 4),
              );
              standardised(
                Float64Array.from(indices, (index) => at(x, index)),
                1e-6,
              ).forEach((value, i) => {
                const index = at(indices, i);
                out[index] = value * at(weight, index % 12) + at(bias, index % 12);
              });
            }
          return out;
        },
      }),
  },
];

/** Bits, not tolerances: a program that is run again gives the same, and a row does not depend on its batch. */
const sameBits: readonly DeviceCase[] = [
  {
    op: 'same bits',
    form: 'a product run again, and its rows in smaller batches',
    run: async (device) => {
      const [columns, inner] = [96, 128];
      const weight = device.tensor('weight', [columns, inner], 'f32', randomFloats(columns * inner, 2));
      const values = randomFloats(70 * inner, 1);
      const rowsOf = async (rows: number, repeats: number): Promise<Float32Array> => {
        const workspace = new Workspace(device);
        const tape = new Tape(workspace);
        const x = device.tensor('x', [rows, inner], 'f32', values.slice(0, rows * inner));
        const out = tape.output(linear(tape, x, weight));
        const program = await tape.finish('product');
        for (let i = 0; i < repeats; i++) program.run();
        const read = await device.readFloats(out);
        program.dispose();
        workspace.close();
        device.destroyTensor(x);
        device.destroyTensor(out);
        return read;
      };
      const whole = await rowsOf(70, 1);
      for (const [rows, repeats] of [
        [70, 3],
        [40, 1],
        [17, 1],
        [8, 1],
        [3, 1],
        [1, 1],
      ] as const) {
        const part = await rowsOf(rows, repeats);
        const different = part.findIndex((value, index) => value !== whole[index]);
        if (different >= 0)
          throw new Error(
            `row ${Math.floor(different / columns)} differs when ${rows} rows are computed instead of 70 (run ${repeats} time${repeats === 1 ? '' : 's'})`,
          );
      }
      device.destroyTensor(weight);
      return { value: relativeError(whole, productOf(values, randomFloats(columns * inner, 2), inner)), gradient: 0 };
    },
  },
];

export const deviceSuite: readonly DeviceCase[] = [
  ...productCases,
  ...storageCases,
  ...adapterCases,
  ...rowCases,
  ...pointwiseCases,
  ...attentionCases,
  ...headCases,
  ...pictureCases,
  ...sameBits,
];
