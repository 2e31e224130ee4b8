/** What a run costs, written down while its parts are made on a planning device. */
import { withFields } from '../components.ts';
import type { Plan, PlanContext, RunContext } from '../contracts/recipe.ts';
import type { PlanningDevice } from '../gpu/planning-device.ts';

export class MemoryAccount {
  private readonly device: PlanningDevice;
  private readonly bytes: Record<string, number> = {};
  /** Bytes there were at the last note. */
  private noted: number;

  constructor({ device }: PlanContext) {
    this.device = device;
    this.noted = device.memory.bytes;
  }

  /** Everything made since the last note served `purpose`. */
  note(purpose: string): void {
    const { bytes } = this.device.memory;
    this.bytes[purpose] = (this.bytes[purpose] ?? 0) + bytes - this.noted;
    this.noted = bytes;
  }

  /** `lines`: the arithmetic of the run. What was there only for a while is added, so that the sum is the peak. */
  plan(lines: readonly string[]): Plan {
    this.note('other');
    const { bytes, peakBytes } = this.device.memory;
    const passing = peakBytes - bytes;
    const all = { ...this.bytes, 'for a while': passing };
    const kept = Object.entries(all).filter(([, value]) => value > 0);
    const { largestBinding, largestBuffer, inParts } = this.device;
    return {
      lines,
      bytes: Object.fromEntries(kept),
      largestBinding: largestBinding.bytes,
      largestBindingName: largestBinding.what,
      largestBuffer: largestBuffer.bytes,
      inParts: [...inParts].map(([name, parts]) => ({ name, parts })),
    };
  }
}

/**
 * The context of a run for the functions that make its parts: the planning device, nothing to go on with, and no directory, no
 * hooks, nothing that could be stopped. Touching what is not there is a defect of the plan.
 */
export function planningRun(context: PlanContext): RunContext {
  const missing = (name: string): never => {
    throw new RangeError(`a plan has no ${name}`);
  };
  return withFields(context, {
    signal: new AbortController().signal,
    get directory() {
      return missing('directory');
    },
    get write() {
      return missing('output');
    },
    get hooks() {
      return missing('hooks');
    },
    get stop() {
      return missing('stop request');
    },
    get beginStep() {
      return missing('steps');
    },
    get asked() {
      return missing('steps');
    },
  });
}

/** Halves of a count, down to 1: the sizes a recipe proposes instead of one that does not fit. */
export function smallerValues(count: number): number[] {
  const values: number[] = [];
  for (let value = count; value > 1;) {
    value = Math.ceil(value / 2);
    values.push(value);
  }
  return values;
}

/** The named options that differ, as one writes them: `recipe.recompute: true and recipe.microBatch: 8`; an option that is on with its defaults is `{}`, one with a budget says it. */
export function changesOf<Choice extends object>(
  before: Choice,
  after: Choice,
  names: readonly (keyof Choice & string)[],
): string {
  const written = (value: unknown): string => {
    if (typeof value !== 'object' || value === null) return String(value);
    return 'budget' in value ? `{ budget: ${String(value.budget)} }` : '{}';
  };
  return names
    .filter((name) => before[name] !== after[name])
    .map((name) => `recipe.${name}: ${written(after[name])}`)
    .join(' and ');
}
