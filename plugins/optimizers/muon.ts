/**
 * Muon (Jordan et al. 2024): the momentum of a matrix is made orthogonal before it is added to the weights, so that no direction of the
 * matrix starves. With the step size of Liu et al. 2025 ("Muon is scalable for LLM training"), 0.2 · √max(rows, columns), a step is as
 * large as AdamW's, and one learning rate serves both: AdamW moves everything that is no hidden matrix.
 */
import {
  blockSize,
  dimension,
  gradientNorm,
  grid,
  newtonSchulz,
  sizeOf,
  type OpenOptimizer,
  type ParameterSet,
  type ParameterSpec,
  type Tape,
  type Tensor,
} from '../../core/compute.ts';

export interface MuonOptions {
  readonly momentum: number;
  readonly weightDecay: number;
  readonly maxNorm: number;
  readonly steps: number;
  readonly exclude: readonly string[];
  readonly betas: readonly [number, number];
  readonly epsilon: number;
}

interface Matrix {
  readonly weight: Tensor;
  readonly gradient: Tensor;
  readonly velocity: Tensor;
  readonly decays: boolean;
}

export function openMuon(parameters: ParameterSet, options: MuonOptions): OpenOptimizer {
  const { device } = parameters;
  const [beta1, beta2] = options.betas;
  const report = device.tensor('optimizer report', [2]);
  const schedule = device.tensor('optimizer schedule', [3]);
  const state = new Map<string, Tensor>();
  const matrices: Matrix[] = [];
  const others: string[] = [];
  for (const name of parameters.names) {
    const weight = parameters.get(name);
    const gradient = parameters.gradient(name);
    if (gradient === undefined) continue;
    const isHiddenMatrix =
      weight.shape.length === 2 && weight.shards === undefined && !options.exclude.some((part) => name.includes(part));
    if (!isHiddenMatrix) {
      others.push(name);
      continue;
    }
    const velocity = device.tensor(`momentum of ${name}`, weight.shape);
    state.set(`momentum.${name}`, velocity);
    matrices.push({ weight, gradient, velocity, decays: decays(parameters.spec(name)) });
  }
  const rest = parameters.arenas.flatMap(({ values, gradients, elements }, index) => {
    if (gradients === undefined) return [];
    const { words, blocks } = otherBlocks(parameters, others, values, elements);
    if (blocks === 0) return [];
    const flags = device.tensor(`blocks of AdamW ${index}`, [words.length], 'u32', words);
    const first = device.tensor(`first moment ${index}`, [blocks * blockSize]);
    const second = device.tensor(`second moment ${index}`, [blocks * blockSize]);
    state.set(`first_moment.${index}`, first).set(`second_moment.${index}`, second);
    return [
      {
        elements,
        bindings: { weights: values, gradients, first_moment: first, second_moment: second, flags, report, schedule },
      },
    ];
  });
  return {
    report,
    state,
    prepare: (step, learningRate) =>
      device.write(schedule, Float32Array.of(learningRate, 1 - beta1 ** step, 1 - beta2 ** step)),
    record(tape) {
      gradientNorm(tape, parameters, report);
      for (const { elements, bindings } of rest) {
        tape.launch({
          kernel: 'optimizer/adamw',
          constants: { COMPACT: true },
          bindings,
          params: {
            elements,
            beta1,
            beta2,
            epsilon: options.epsilon,
            weight_decay: options.weightDecay,
            max_norm: options.maxNorm,
          },
          groups: grid(Math.ceil(elements / 256)),
        });
      }
      for (const matrix of matrices) moveMatrix(tape, matrix, options, report, schedule);
    },
  };
}

function moveMatrix(
  tape: Tape,
  { weight, gradient, velocity, decays: isDecayed }: Matrix,
  options: MuonOptions,
  report: Tensor,
  schedule: Tensor,
): void {
  const count = sizeOf(weight.shape);
  const groups = grid(Math.ceil(count / 256));
  const direction = tape.empty(`direction of ${weight.name}`, weight.shape);
  tape.launch({
    kernel: 'optimizer/muon-momentum',
    bindings: { gradient, velocity, report, direction },
    params: { count, momentum: options.momentum, max_norm: options.maxNorm },
    groups,
  });
  tape.launch({
    kernel: 'optimizer/muon-apply',
    bindings: { weight, direction: newtonSchulz(tape, direction, options.steps), report, schedule },
    params: {
      count,
      weight_decay: isDecayed ? options.weightDecay : 0,
      scale: 0.2 * Math.sqrt(Math.max(dimension(weight, 0), dimension(weight, 1))),
    },
    groups,
  });
}

/** Of every block of an arena: 0, or the flags of what AdamW moves with the number of the block's place in the moments above them. */
function otherBlocks(
  parameters: ParameterSet,
  names: readonly string[],
  arena: Tensor,
  elements: number,
): { words: Uint32Array; blocks: number } {
  const words = new Uint32Array(elements / blockSize);
  let blocks = 0;
  if (!('buffer' in arena.memory)) throw new RangeError('an arena lives in a buffer');
  for (const name of names) {
    const flags = decays(parameters.spec(name)) ? 3 : 1;
    const weight = parameters.get(name);
    for (const part of weight.shards ?? [weight]) {
      if (!('buffer' in part.memory) || part.memory.buffer !== arena.memory.buffer) continue;
      const start = (part.memory.offset - arena.memory.offset) / (4 * blockSize);
      for (let block = 0; block < Math.ceil(sizeOf(part.shape) / blockSize); block++)
        words[start + block] = flags | (blocks++ << 2);
    }
  }
  return { words, blocks };
}

function decays({ decay, shape }: ParameterSpec): boolean {
  return decay ?? shape.length > 1;
}
