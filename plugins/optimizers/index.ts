/** AdamW, AdamW with 8-bit state, Lion, Muon and SGD; clipping by global norm and the update itself stay on the device. */
import { defineOptimizer, definePlugin, z } from '../../core/plugin.ts';
import { multiTensor } from './multi-tensor.ts';
import { openMuon } from './muon.ts';

const common = {
  learningRate: z.number().nonnegative().describe('peak learning rate; the recipe multiplies it by its schedule'),
  weightDecay: z.number().nonnegative().default(0.01).describe('decoupled weight decay, on matrices only'),
  maxNorm: z
    .number()
    .nonnegative()
    .default(1)
    .describe('gradients are scaled down to this global norm; 0 turns clipping off'),
};

const decayRate = z.number().min(0).lt(1);

const moments = {
  betas: z.tuple([decayRate, decayRate]).default([0.9, 0.999]).describe('decay of the two moments'),
  epsilon: z.number().positive().default(1e-8).describe('added to the root of the second moment'),
};

const adamw = defineOptimizer({
  name: 'adamw',
  summary: 'AdamW with decoupled weight decay (Loshchilov and Hutter 2019)',
  options: z.strictObject({ ...common, ...moments }),
  create: ({ learningRate, weightDecay, maxNorm, betas: [beta1, beta2], epsilon }) => ({
    learningRate,
    lighter: 'adamw-8bit',
    ...multiTensor({
      kernel: 'optimizer/adamw',
      states: { first_moment: 'element', second_moment: 'element' },
      params: { beta1, beta2, epsilon, weight_decay: weightDecay, max_norm: maxNorm },
      schedule: (step, rate) => [rate, 1 - beta1 ** step, 1 - beta2 ** step],
    }),
  }),
});

const adamw8bit = defineOptimizer({
  name: 'adamw-8bit',
  summary: 'AdamW whose state takes two bytes per parameter instead of eight (Dettmers et al. 2022)',
  options: z.strictObject({ ...common, ...moments }),
  create: ({ learningRate, weightDecay, maxNorm, betas: [beta1, beta2], epsilon }) => ({
    learningRate,
    ...multiTensor({
      kernel: 'optimizer/adamw-8bit',
      states: { first_codes: 'bytes', second_codes: 'bytes', scales: 'block' },
      params: { beta1, beta2, epsilon, weight_decay: weightDecay, max_norm: maxNorm },
      asksForPlace: true,
      schedule: (step, rate) => [rate, 1 - beta1 ** step, 1 - beta2 ** step, step],
    }),
  }),
});

const lion = defineOptimizer({
  name: 'lion',
  summary: 'Lion: steps of one size by the sign of the momentum (Chen et al. 2023); rates 3 to 10 times below AdamW’s',
  options: z.strictObject({
    ...common,
    betas: z
      .tuple([decayRate, decayRate])
      .default([0.9, 0.99])
      .describe('share of the momentum in the step, and its decay'),
  }),
  create: ({ learningRate, weightDecay, maxNorm, betas: [beta1, beta2] }) => ({
    learningRate,
    ...multiTensor({
      kernel: 'optimizer/lion',
      states: { momentum: 'element' },
      params: { beta1, beta2, weight_decay: weightDecay, max_norm: maxNorm },
      schedule: (_step, rate) => [rate],
    }),
  }),
});

const muon = defineOptimizer({
  name: 'muon',
  summary: 'Muon on hidden matrices (Jordan et al. 2024), AdamW on all else, with one rate for both (Liu et al. 2025)',
  options: z.strictObject({
    ...common,
    ...moments,
    momentum: decayRate.default(0.95).describe('share of the last velocity of a matrix that is kept'),
    steps: z.number().int().min(1).max(20).default(5).describe('Newton–Schulz steps'),
    exclude: z
      .array(z.string().min(1))
      .default(['embed', 'head', 'codebook'])
      .describe('matrices with one of these in their name are moved by AdamW'),
  }),
  create: ({ learningRate, ...options }) => ({
    learningRate,
    open: (parameters) => openMuon(parameters, options),
  }),
});

const sgd = defineOptimizer({
  name: 'sgd',
  summary: 'stochastic gradient descent with momentum',
  options: z.strictObject({
    ...common,
    momentum: decayRate.default(0.9).describe('share of the last velocity that is kept'),
  }),
  create: ({ learningRate, weightDecay, maxNorm, momentum }) => ({
    learningRate,
    ...multiTensor({
      kernel: 'optimizer/sgd',
      states: { velocity: 'element' },
      params: { momentum, weight_decay: weightDecay, max_norm: maxNorm },
      schedule: (_step, rate) => [rate],
    }),
  }),
});

export default definePlugin({ name: 'optimizers', provides: [adamw, adamw8bit, lion, muon, sgd] });
