/**
 * Places the values of a launch list into as few bytes of whole buffers as their lifetimes allow. To do that best is hard (interval
 * coloring where a color costs its largest member), so a few greedy orders are tried and the cheapest is taken.
 */
import { byteLength, type Tensor } from '../tensor/tensor.ts';
import type { Step } from './launch.ts';
import { at } from '../tensor/at.ts';

export interface MemoryPlan {
  /** Bytes of each buffer to make. */
  readonly buffers: readonly number[];
  /** Id of a value to index into `buffers`. */
  readonly placement: ReadonlyMap<number, number>;
  /** Sum of `buffers`. */
  readonly bytes: number;
  /** Most bytes alive at any one launch: no plan can need less. */
  readonly lowerBound: number;
}

interface Lifetime {
  readonly id: number;
  readonly bytes: number;
  first: number;
  last: number;
}

export function planMemory(steps: readonly Step[]): MemoryPlan {
  const lifetimes = [...lifetimesOf(steps).values()];
  const lowerBound = peakAlive(lifetimes, steps.length);
  let best: Omit<MemoryPlan, 'lowerBound'> | undefined;
  for (const order of orders) {
    for (const choose of choices) {
      const plan = place(lifetimes.toSorted(order), choose);
      if (best === undefined || plan.bytes < best.bytes) best = plan;
    }
  }
  return { ...(best ?? { buffers: [], placement: new Map<number, number>(), bytes: 0 }), lowerBound };
}

const length = ({ first, last }: Lifetime): number => last - first;

/** In launch order; the largest first, those of equal size by launch or by how long they live; the longest-lived first. */
const orders: readonly ((a: Lifetime, b: Lifetime) => number)[] = [
  (a, b) => a.first - b.first || b.bytes - a.bytes,
  (a, b) => b.bytes - a.bytes || a.first - b.first,
  (a, b) => b.bytes - a.bytes || length(b) - length(a) || a.first - b.first,
  (a, b) => length(b) * b.bytes - length(a) * a.bytes || a.first - b.first,
];

/** Which of the free buffers takes a value: [bytes the buffer grows by, bytes it leaves unused]; the smallest pair is taken. */
type Choice = (size: number, bytes: number, index: number) => readonly [number, number];

/** The tightest buffer; or the earliest one that is large enough. */
const choices: readonly Choice[] = [
  (size, bytes) => [Math.max(0, bytes - size), size - bytes],
  (size, bytes, index) => [Math.max(0, bytes - size), index],
];

function place(items: readonly Lifetime[], choose: Choice): Omit<MemoryPlan, 'lowerBound'> {
  const buffers: number[] = [];
  const taken: Lifetime[][] = [];
  const placement = new Map<number, number>();
  for (const item of items) {
    let chosen = -1;
    let cost: readonly [number, number] = [item.bytes, 0];
    taken.forEach((others, index) => {
      if (others.some((other) => other.first <= item.last && item.first <= other.last)) return;
      const size = at(buffers, index);
      const [growth, rest] = choose(size, item.bytes, index);
      // A buffer that grows costs less than a new one.
      if (chosen < 0 ? growth < cost[0] : growth < cost[0] || (growth === cost[0] && rest < cost[1]))
        [chosen, cost] = [index, [growth, rest]];
    });
    if (chosen < 0) chosen = taken.push([]) - 1;
    taken[chosen]?.push(item);
    buffers[chosen] = Math.max(buffers[chosen] ?? 0, item.bytes);
    placement.set(item.id, chosen);
  }
  return { buffers, placement, bytes: buffers.reduce((sum, bytes) => sum + bytes, 0) };
}

function lifetimesOf(steps: readonly Step[]): Map<number, Lifetime> {
  const lifetimes = new Map<number, Lifetime>();
  steps.forEach((step, index) => {
    for (const tensor of tensorsOf(step)) {
      if (!('value' in tensor.memory)) continue;
      const { id, bytes } = tensor.memory.value;
      const known = lifetimes.get(id);
      if (known === undefined)
        lifetimes.set(id, {
          id,
          bytes: Math.max(bytes, byteLength(tensor.shape, tensor.type)),
          first: index,
          last: index,
        });
      else known.last = index;
    }
  });
  return lifetimes;
}

function tensorsOf(step: Step): Tensor[] {
  return 'copy' in step ? [step.copy.from, step.copy.to] : Object.values(step.bindings);
}

function peakAlive(lifetimes: readonly Lifetime[], stepCount: number): number {
  const change = new Array<number>(stepCount + 1).fill(0);
  for (const { first, last, bytes } of lifetimes) {
    change[first] = at(change, first) + bytes;
    change[last + 1] = at(change, last + 1) - bytes;
  }
  let alive = 0;
  let peak = 0;
  for (const delta of change) {
    alive += delta;
    peak = Math.max(peak, alive);
  }
  return peak;
}
