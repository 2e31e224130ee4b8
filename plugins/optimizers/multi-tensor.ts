/** Optimizers that are one rule for every element: one kernel over each arena of weights, clipping by global norm on the device. */
import {
  blockSize,
  gradientNorm,
  grid,
  type Arena,
  type FlatParameters,
  type OpenOptimizer,
  type Optimizer,
  type Tape,
  type Tensor,
} from '../../core/compute.ts';

/** What is kept beside each arena: f32 of one number per element, four bytes in a word, or two numbers (scales) per block. */
type StateKind = 'element' | 'bytes' | 'block';

export interface Rule {
  readonly kernel: string;
  /** By name, which is also the kernel's binding. */
  readonly states: Readonly<Record<string, StateKind>>;
  readonly params: Readonly<Record<string, number>>;
  /** Whether the kernel asks for the number of the arena, and where in it what it moves begins. */
  readonly asksForPlace?: boolean;
  /** What the kernel reads from `schedule`, in order. */
  readonly schedule: (step: number, learningRate: number) => readonly number[];
}

/** Ways to open a rule: every element is moved by itself, so a part of the arenas is as good as the whole. */
export function multiTensor(rule: Rule): Required<Pick<Optimizer, 'open' | 'openPart'>> {
  const open = (parameters: FlatParameters): OpenOptimizer => openRule(parameters, rule);
  return { open, openPart: open };
}

function openRule(parameters: FlatParameters, rule: Rule): OpenOptimizer {
  const { device } = parameters;
  const report = device.tensor('optimizer report', [2]);
  const schedule = device.tensor('optimizer schedule', [rule.schedule(1, 0).length]);
  const state = new Map<string, Tensor>();
  const trained = parameters.arenas.flatMap((arena, index) => {
    const { gradients } = arena;
    if (gradients === undefined || arena.elements === 0) return [];
    const states: Record<string, Tensor> = {};
    for (const [name, kind] of Object.entries(rule.states)) {
      const tensor = device.tensor(`${name} ${index}`, [stateSize(arena, kind)], kind === 'bytes' ? 'u32' : 'f32');
      states[name] = tensor;
      state.set(`${name}.${index}`, tensor);
    }
    return [{ ...arena, gradients, states, index }];
  });
  return {
    report,
    state,
    prepare: (step, learningRate) => device.write(schedule, Float32Array.from(rule.schedule(step, learningRate))),
    record(tape: Tape) {
      gradientNorm(tape, parameters, report);
      for (const { values, gradients, flags, elements, first = 0, states, index } of trained) {
        tape.launch({
          kernel: rule.kernel,
          bindings: { weights: values, gradients, ...states, flags, report, schedule },
          params: { elements, ...rule.params, ...(rule.asksForPlace === true ? { arena: index, first } : {}) },
          groups: grid(Math.ceil(elements / 256)),
        });
      }
    },
  };
}

function stateSize({ elements }: Arena, kind: StateKind): number {
  if (kind === 'element') return elements;
  return kind === 'bytes' ? elements / 4 : (elements / blockSize) * 2;
}
