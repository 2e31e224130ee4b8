/** AdamW and SGD as multi-tensor launches: one kernel over each arena of weights, clipping by global norm on the device. */
import { defineOptimizer, definePlugin, z } from '../../core/plugin.ts';
import { gradientNorm, grid, type OpenOptimizer, type ParameterSet, type Tape, type Tensor } from '../../core/compute.ts';

const common = {
  learningRate: z.number().nonnegative().describe('peak learning rate; the recipe multiplies it by its schedule'),
  weightDecay: z.number().nonnegative().default(0.01).describe('decoupled weight decay, on matrices only'),
  maxNorm: z.number().nonnegative().default(1).describe('gradients are scaled down to this global norm; 0 turns clipping off'),
};

const adamw = defineOptimizer({
  name: 'adamw',
  summary: 'AdamW with decoupled weight decay (Loshchilov and Hutter 2019)',
  options: z.strictObject({
    ...common,
    betas: z.tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)]).default([0.9, 0.999]).describe('decay of the two moments'),
    epsilon: z.number().positive().default(1e-8).describe('added to the root of the second moment'),
  }),
  create: ({ learningRate, weightDecay, maxNorm, betas: [beta1, beta2], epsilon }) => ({
    learningRate,
    stateBytesPerParameter: 8,
    open: (parameters) =>
      openMultiTensor(parameters, {
        kernel: 'optimizer/adamw',
        states: ['first_moment', 'second_moment'],
        params: { beta1, beta2, epsilon, weight_decay: weightDecay, max_norm: maxNorm },
        schedule: (step, rate) => [rate, 1 - beta1 ** step, 1 - beta2 ** step],
      }),
  }),
});

const sgd = defineOptimizer({
  name: 'sgd',
  summary: 'stochastic gradient descent with momentum',
  options: z.strictObject({ ...common, momentum: z.number().min(0).lt(1).default(0.9).describe('share of the last velocity that is kept') }),
  create: ({ learningRate, weightDecay, maxNorm, momentum }) => ({
    learningRate,
    stateBytesPerParameter: 4,
    open: (parameters) =>
      openMultiTensor(parameters, {
        kernel: 'optimizer/sgd',
        states: ['velocity'],
        params: { momentum, weight_decay: weightDecay, max_norm: maxNorm },
        schedule: (_step, rate) => [rate, 0, 0],
      }),
  }),
});

interface Rule {
  readonly kernel: string;
  /** One f32 buffer per name and arena; the name is also the kernel's binding. */
  readonly states: readonly string[];
  readonly params: Readonly<Record<string, number>>;
  readonly schedule: (step: number, learningRate: number) => readonly number[];
}

function openMultiTensor(parameters: ParameterSet, rule: Rule): OpenOptimizer {
  const { device } = parameters;
  const report = device.tensor('optimizer report', [2]);
  const schedule = device.tensor('optimizer schedule', [3]);
  const state = new Map<string, Tensor>();
  parameters.arenas.forEach(({ elements, gradients }, index) => {
    if (gradients === undefined) return;
    for (const name of rule.states) state.set(`${name}.${index}`, device.tensor(`${name} ${index}`, [elements]));
  });
  return {
    report,
    state,
    prepare: (step, learningRate) => device.write(schedule, Float32Array.from(rule.schedule(step, learningRate))),
    record(tape: Tape) {
      gradientNorm(tape, parameters, report);
      parameters.arenas.forEach(({ values, gradients, flags, elements }, index) => {
        if (gradients === undefined) return;
        const states = Object.fromEntries(rule.states.map((name) => [name, stateOf(state, `${name}.${index}`)]));
        tape.launch({
          kernel: rule.kernel,
          bindings: { weights: values, gradients, ...states, flags, report, schedule },
          params: { elements, ...rule.params },
          groups: grid(Math.ceil(elements / 256)),
        });
      });
    },
  };
}

function stateOf(state: ReadonlyMap<string, Tensor>, name: string): Tensor {
  const tensor = state.get(name);
  if (tensor === undefined) throw new RangeError(`no optimizer state ${name}`);
  return tensor;
}

export default definePlugin({ name: 'optimizers', provides: [adamw, sgd] });
