/** Places the slots of a launch list into as few bytes of whole buffers as their lifetimes allow (greedy, in launch order). */
import { byteLength, type Tensor } from '../tensor/tensor.ts';
import type { Step } from './program.ts';

export interface MemoryPlan {
  /** Bytes of each buffer to make. */
  readonly buffers: readonly number[];
  /** Slot id to index into `buffers`. */
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
  const lifetimes = new Map<number, Lifetime>();
  steps.forEach((step, index) => {
    for (const tensor of tensorsOf(step)) {
      if (!('slot' in tensor.memory)) continue;
      const { id, bytes } = tensor.memory.slot;
      const known = lifetimes.get(id);
      if (known === undefined) lifetimes.set(id, { id, bytes: Math.max(bytes, byteLength(tensor.shape, tensor.type)), first: index, last: index });
      else known.last = index;
    }
  });
  const starting = [...lifetimes.values()].sort((a, b) => a.first - b.first || b.bytes - a.bytes);
  const buffers: number[] = [];
  const busyUntil: number[] = [];
  const placement = new Map<number, number>();
  for (const item of starting) {
    const free = busyUntil.flatMap((last, index) => (last < item.first ? [index] : []));
    const size = (index: number): number => buffers[index] ?? 0;
    // The smallest free buffer that is large enough; else the largest free one, grown; else a new one.
    const fitting = free.filter((index) => size(index) >= item.bytes).sort((a, b) => size(a) - size(b))[0];
    const growing = free.sort((a, b) => size(b) - size(a))[0];
    const chosen = fitting ?? growing ?? buffers.length;
    buffers[chosen] = Math.max(buffers[chosen] ?? 0, item.bytes);
    busyUntil[chosen] = item.last;
    placement.set(item.id, chosen);
  }
  return { buffers, placement, bytes: buffers.reduce((sum, bytes) => sum + bytes, 0), lowerBound: peakAlive([...lifetimes.values()], steps.length) };
}

function tensorsOf(step: Step): Tensor[] {
  return 'copy' in step ? [step.copy.from, step.copy.to] : Object.values(step.bindings);
}

function peakAlive(lifetimes: readonly Lifetime[], length: number): number {
  const change = new Array<number>(length + 1).fill(0);
  for (const { first, last, bytes } of lifetimes) {
    change[first] = (change[first] ?? 0) + bytes;
    change[last + 1] = (change[last + 1] ?? 0) - bytes;
  }
  let alive = 0;
  let peak = 0;
  for (const delta of change) {
    alive += delta;
    peak = Math.max(peak, alive);
  }
  return peak;
}
