/**
 * Every op once in each of its forms, recorded for no adapter in particular: what `kernels.test.ts` compiles for every feature set. A new
 * kernel belongs in here; the test names kernels that nothing here launches.
 */
import { ParameterSet } from '../../core/weights/parameters.ts';
import { narrow, widen } from '../../core/autograd/kept-halves.ts';
import type { Tape } from '../../core/autograd/tape.ts';
import type { KeyValueCache } from '../../core/contracts/backbone.ts';
import type { Optimizer } from '../../core/contracts/optimizer.ts';
import type { Device } from '../../core/gpu/device.ts';
import { add } from '../../core/ops/add.ts';
import { attention } from '../../core/ops/attention.ts';
import { batchedProduct } from '../../core/ops/batched-product.ts';
import {
  appendToCache,
  cachedAttention,
  copyCacheRows,
  prefillCache,
  rotaryPositions,
  turnIntoCache,
} from '../../core/ops/cached-attention.ts';
import { columnsOf, joinColumns } from '../../core/ops/columns.ts';
import { lookUpCodes, quantizeToCodebook } from '../../core/ops/codebook.ts';
import { conv2d } from '../../core/ops/conv2d.ts';
import { embeddingBag } from '../../core/ops/embedding-bag.ts';
import { embedding } from '../../core/ops/embedding.ts';
import { gelu } from '../../core/ops/gelu.ts';
import { groupNorm } from '../../core/ops/group-norm.ts';
import { guide } from '../../core/ops/guide.ts';
import { resizeParts } from '../../core/ops/heads.ts';
import { languageHead } from '../../core/ops/language-head.ts';
import { layerNorm } from '../../core/ops/layer-norm.ts';
import { linear } from '../../core/ops/linear.ts';
import { likelihoodObjective } from '../../core/ops/likelihood-objective.ts';
import { tokenLogProbability } from '../../core/ops/log-probability.ts';
import { normLinear } from '../../core/ops/norm-linear.ts';
import { multiply, scale, weightedSum } from '../../core/ops/pointwise.ts';
import { policyMethods, policyObjective, sequenceRatios } from '../../core/ops/policy-objective.ts';
import { reconstructionLoss } from '../../core/ops/reconstruction-loss.ts';
import { sumAll, sumRows } from '../../core/ops/reduce.ts';
import { rmsNorm } from '../../core/ops/rms-norm.ts';
import { rotary } from '../../core/ops/rotary.ts';
import { addRows, gatherRows, mergeRows } from '../../core/ops/rows.ts';
import { createRowSettings, createSamplingSettings, sample } from '../../core/ops/sample.ts';
import { silu } from '../../core/ops/silu.ts';
import { softmax } from '../../core/ops/softmax.ts';
import { swigluRows } from '../../core/ops/swiglu-rows.ts';
import { swiglu } from '../../core/ops/swiglu.ts';
import { upsample, upsampleConv2d } from '../../core/ops/upsample.ts';
import { WeightAverage } from '../../core/training/average.ts';
import { UpdateWatch } from '../../core/training/update-watch.ts';
import { quantizedGroup } from '../../core/tensor/quantized.ts';
import type { ElementType, Tensor } from '../../core/tensor/tensor.ts';
import optimizers from '../../plugins/optimizers/index.ts';

/** Records ops on tensors of zeros. */
export class Stage {
  readonly tape: Tape;
  readonly device: Device;

  constructor(tape: Tape) {
    this.tape = tape;
    this.device = tape.device;
  }

  /** f32 whose gradient is asked for. */
  weight(...shape: number[]): Tensor {
    const weight = this.device.tensor('weight', shape);
    this.tape.watch(weight, this.device.tensor('gradient', shape));
    return weight;
  }

  words(...shape: number[]): Tensor {
    return this.device.tensor('words', shape, 'u32');
  }

  /** A matrix nobody trains. */
  frozen(type: ElementType, rows: number, columns: number): Tensor {
    const matrix = this.device.tensor(type, [rows, columns], type);
    return type === 'int8' || type === 'int4'
      ? { ...matrix, scales: this.words(rows, columns / quantizedGroup) }
      : matrix;
  }

  /** A value of the tape, so that gradients of values are met as well as those of weights. */
  value(...shape: number[]): Tensor {
    return scale(this.tape, this.weight(...shape), 1);
  }

  /** Goes back from `out`. */
  back(out: Tensor): void {
    this.tape.seed(out, this.device.tensor('d out', out.shape));
  }
}

/** Rows below, at and above the heights of tiles; widths that are whole vectors and that are not. */
const rowCounts = [3, 24, 160];
const widths = [8, 7];

export const exercises: Readonly<Record<string, (stage: Stage) => void>> = {
  elementwise(stage) {
    const { tape } = stage;
    const [a, b] = [stage.value(9), stage.value(9)];
    const sums = [
      add(tape, a, b),
      multiply(tape, a, b),
      weightedSum(tape, a, 2, b, 3),
      swiglu(tape, a, b),
      silu(tape, a),
      gelu(tape, a),
      gelu(tape, a, 'tanh'),
    ];
    for (const out of sums) stage.back(out);
    stage.back(guide(tape, a, b, { weight: stage.device.scalar('guidance', 5), detach: false }));
    stage.back(sumRows(tape, stage.value(5, 7)));
    stage.back(sumAll(tape, stage.value(5000)));
    stage.back(softmax(tape, stage.value(5, 7)));
    swigluRows(tape, stage.value(5, 16));
    for (const rows of [5, 12, 200])
      for (const isGated of [false, true])
        for (const type of ['f32', 'bf16', 'int8'] as const) {
          const weight = stage.frozen(type, 16, quantizedGroup);
          const norm = { weight: stage.value(quantizedGroup), epsilon: 1e-6 };
          normLinear(tape, stage.value(rows, quantizedGroup), norm, weight, { isGated });
        }
    // The gradient of a weight that other ops hand on is added to its buffer.
    stage.back(scale(tape, stage.weight(9), 2));
  },

  activations({ tape, device }) {
    for (const columns of widths) {
      const halves = tape.empty('halves', [3, 1 + Math.ceil(columns / 2)], 'u32');
      tape.launch(narrow(device, device.tensor('x', [3, columns]), halves));
      tape.launch(widen(halves, tape.empty('wide', [3, columns])));
    }
  },

  norms(stage) {
    for (const width of widths) {
      const x = stage.value(40, width);
      const out = layerNorm(
        stage.tape,
        rmsNorm(stage.tape, x, stage.weight(width), 1e-6),
        stage.weight(width),
        stage.weight(width),
        1e-6,
      );
      stage.back(add(stage.tape, add(stage.tape, x, out), out));
      stage.back(rmsNorm(stage.tape, stage.value(40, width), stage.weight(width), 1e-6));
      stage.back(layerNorm(stage.tape, stage.value(40, width), stage.weight(width), stage.weight(width), 1e-6));
    }
  },

  linear(stage) {
    const { tape } = stage;
    for (const rows of rowCounts)
      for (const inner of [64, 66, 63])
        for (const columns of [64, 66]) {
          const x = stage.value(rows, inner);
          stage.back(
            add(
              tape,
              linear(tape, x, stage.weight(columns, inner), stage.weight(columns)),
              linear(tape, x, stage.weight(columns, inner)),
            ),
          );
        }
    // Enough for the large tiles of a GPU, also for the gradient of the weight.
    stage.back(linear(tape, stage.value(1280, 1280), stage.weight(1280, 1280)));
  },

  products(stage) {
    stage.back(batchedProduct(stage.tape, stage.value(2, 3, 4), stage.value(2, 5, 4)));
  },

  'linear with packed weights'(stage) {
    const { tape } = stage;
    for (const type of ['f16', 'bf16', 'int8', 'int4'] as const)
      for (const rows of rowCounts)
        for (const inner of type === 'f16' || type === 'bf16' ? [64, 66] : [64, 128]) {
          const x = stage.value(rows, inner);
          const weight = stage.frozen(type, 64, inner);
          stage.back(add(tape, linear(tape, x, weight, stage.weight(64)), linear(tape, x, weight)));
        }
    // More rows and columns than subgroup matrices take a weight as it is for.
    for (const type of ['f16', 'bf16', 'int8', 'int4'] as const)
      stage.back(linear(tape, stage.value(160, 128), stage.frozen(type, 128, 128)));
    for (const type of ['f16', 'bf16', 'int8', 'int4'] as const)
      embedding(tape, stage.frozen(type, 12, 64), stage.words(5));
    embedding(tape, stage.frozen('bf16', 12, 7), stage.words(5));
  },

  'linear in parts and with adapters'(stage) {
    const { tape } = stage;
    const parts = [stage.weight(32, 64), stage.weight(32, 64)];
    const split: Tensor = {
      name: 'split',
      shape: [64, 64],
      type: 'f32',
      memory: (parts[0] ?? stage.weight(1)).memory,
      shards: parts,
    };
    const x = stage.value(24, 64);
    stage.back(add(tape, linear(tape, x, split, stage.weight(64)), linear(tape, x, split)));
    stage.back(embedding(tape, split, stage.words(5)));
    for (const dropout of [undefined, { share: 0.1, seed: stage.words(1), key: 1 }]) {
      const adapter = {
        down: stage.weight(4, 64),
        up: stage.weight(64, 4),
        scale: 2,
        ...(dropout === undefined ? {} : { dropout }),
      };
      const weight: Tensor = { ...stage.frozen('f32', 64, 64), adapter };
      stage.back(add(tape, linear(tape, x, weight), linear(tape, x, weight)));
    }
  },

  rows(stage) {
    const { tape } = stage;
    for (const width of widths) {
      stage.back(embedding(tape, stage.weight(12, width), stage.words(5)));
      stage.back(gatherRows(tape, stage.value(12, width), stage.words(5)));
      stage.back(
        mergeRows(
          tape,
          [
            { x: stage.value(2, width), rows: stage.words(2) },
            { x: stage.value(3, width), rows: stage.words(3) },
          ],
          5,
        ),
      );
      stage.back(embeddingBag(tape, stage.weight(12, width), stage.words(5, 4), stage.device.tensor('shares', [5, 4])));
      stage.back(addRows(tape, stage.value(5, width), columnsOf(tape, stage.value(2, 16), 3, width), stage.words(2)));
    }
    stage.back(joinColumns(tape, [stage.value(3, 4), stage.value(3, 7)]));
    stage.back(resizeParts(tape, stage.value(3, 12), 2, 8));
  },

  heads(stage) {
    const { tape } = stage;
    for (const temperature of [0.7, stage.device.scalar('temperature', 1)]) {
      stage.back(tokenLogProbability(tape, stage.value(5, 300), stage.words(5), { temperature, clamp: 20 }));
      stage.back(
        languageHead(tape, stage.value(5, 8), stage.weight(300, 8), stage.weight(300), stage.words(5), {
          temperature,
          chunk: 128,
        }),
      );
    }
    const part = { scored: stage.value(5, 2), terms: stage.value(5, 4), weights: stage.value(5, 4) };
    likelihoodObjective(tape, part.scored, part.terms);
    const sequences = sequenceRatios(tape, { text: part, image: part }, stage.words(2, 4));
    const settings = stage.value(8);
    for (const method of policyMethods)
      policyObjective(tape, part.scored, { ...part, settings, sequences }, { method, divergence: 'k3' });
  },

  attention(stage) {
    const { tape } = stage;
    for (const headDimension of [8, 12, 64, 72, 80, 128, 512])
      for (const causal of [true, false]) {
        const width = 2 * headDimension;
        const segments = { segmentStart: stage.words(5), segmentEnd: stage.words(5) };
        stage.back(
          attention(
            tape,
            stage.value(5, width),
            stage.value(5, headDimension),
            stage.value(5, headDimension),
            segments,
            { heads: 2, keyValueHeads: 1, headDimension, causal },
          ),
        );
      }
    stage.back(rotary(tape, stage.value(5, 16), stage.words(5), { heads: 1, headDimension: 16, theta: 10000 }));
    stage.back(
      rotary(tape, stage.value(5, 16), stage.words(5, 2), {
        heads: 1,
        headDimension: 16,
        theta: 10000,
        pairing: 'neighbors',
      }),
    );
    for (const axes of [
      { sections: [2, 3, 3], order: 'contiguous' },
      { sections: [4, 2, 2], order: 'interleaved' },
      { sections: [4, 4], order: 'axial' },
    ] as const) {
      const positions = stage.words(5, axes.sections.length);
      stage.back(rotary(tape, stage.value(5, 16), positions, { heads: 1, headDimension: 16, theta: 10000, axes }));
    }
  },

  'decoding with a cache'(stage) {
    const { tape, device } = stage;
    for (const type of device.has('shader-f16') ? (['f32', 'f16'] as const) : (['f32'] as const)) {
      const entry = (): Tensor => device.tensor('cache', [3, 10, 16], type);
      const cache: KeyValueCache = {
        rows: 3,
        capacity: 10,
        cacheRows: stage.words(3),
        shifts: stage.words(3),
        keys: [entry()],
        values: [entry()],
      };
      const [k, v, positions] = [stage.value(3, 16), stage.value(3, 16), stage.words(3)];
      const options = { heads: 4, keyValueHeads: 2, headDimension: 8 };
      rotaryPositions(tape, positions, cache);
      prefillCache(tape, k, v, { cache, source: stage.words(3), length: stage.words(3) }, 0);
      copyCacheRows(tape, { cache, source: stage.words(3), length: stage.words(3) }, 0);
      appendToCache(tape, k, v, positions, cache, 0);
      const q = turnIntoCache(
        tape,
        { q: stage.value(3, 32), k: { from: k, first: 0 }, v: { from: v, first: 0 } },
        positions,
        cache,
        0,
        { ...options, theta: 10000 },
      );
      for (const isSerial of [true, false]) cachedAttention(tape, q, positions, cache, 0, { ...options, isSerial });
    }
  },

  sampling(stage) {
    for (const vocabulary of [300, 20_000])
      for (const guided of [true, false])
        for (const phase of ['text', 'image'] as const) {
          const fed = guided ? 6 : 3;
          const state = {
            rows: stage.words(3, 4),
            trace: stage.words(3, 10, 4),
            cacheRows: stage.words(3),
            current: stage.words(fed),
            positions: stage.words(fed),
          };
          for (const settings of [
            createSamplingSettings(stage.device, 'settings'),
            createRowSettings(stage.device, 'settings of rows', 3),
          ])
            sample(stage.tape, stage.value(fed, vocabulary), state, settings, { phase, guided, imageStart: 1 });
        }
  },

  pictures(stage) {
    const { tape } = stage;
    for (const channels of [4, 12, 32, 3])
      for (const kernel of [1, 3])
        for (const stride of [1, 2] as const) {
          const x = stage.value(1, 6, 6, channels);
          stage.back(
            conv2d(tape, x, stage.weight(channels, kernel, kernel, channels), stage.weight(channels), { stride }),
          );
        }
    stage.back(conv2d(tape, stage.value(1, 6, 6, 12), stage.weight(40, 3, 3, 12), stage.weight(40)));
    stage.back(groupNorm(tape, stage.value(1, 6, 6, 8), stage.weight(8), stage.weight(8), { groups: 2, silu: true }));
    stage.back(upsample(tape, stage.value(1, 3, 3, 8)));
    for (const channels of [8, 3])
      stage.back(
        upsampleConv2d(tape, stage.value(1, 3, 3, channels), stage.weight(8, 3, 3, channels), stage.weight(8)),
      );
    const { out } = quantizeToCodebook(tape, stage.value(9, 8), stage.weight(20, 8));
    stage.back(out);
    lookUpCodes(tape, stage.words(9), stage.weight(20, 8));
    reconstructionLoss(tape, stage.value(1, 4, 4, 4), stage.weight(1, 4, 4, 4));
  },

  updates({ tape, device }) {
    const specs = [
      { name: 'block.matrix', shape: [12, 8], init: { constant: 0 } },
      { name: 'block.tall', shape: [7, 40], init: { constant: 0 } },
      { name: 'vector', shape: [9], init: { constant: 0 } },
    ] as const;
    const parameters = new ParameterSet(device, specs, { seed: 1, trainable: () => true });
    const watch = new UpdateWatch(parameters);
    watch.record(tape, 'before');
    for (const each of optimizers.provides)
      (each.create(each.options.parse({ learningRate: 0.1 }), {} as never) as Optimizer).open(parameters).record(tape);
    watch.record(tape, 'after');
    new WeightAverage(parameters, { decay: 0.9, start: 0 }).record(tape);
  },
};
