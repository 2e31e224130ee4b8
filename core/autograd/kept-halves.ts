/**
 * Activations in f16 between forward and backward: what the blocks of a tape read or write on the way forward and the way back reads again is narrowed behind its
 * last use forward (kernels/activations) and widened before its first use backward. The way forward reads what it always read, so no bit of it changes.
 * What is `exact` stays as it is: statistics of rows, which are small and in exponents, and what a way back makes sums again from.
 */
import type { Device } from '../gpu/device.ts';
import { shareRows } from '../gpu/row-groups.ts';
import { byteLength, dimension, sizeOf, type Tensor } from '../tensor/tensor.ts';
import { at } from '../tensor/at.ts';
import type { LoadedStep } from './bind.ts';
import { grid, type Launch, type Step } from './launch.ts';
import { ValueUses, withValues } from './value-uses.ts';

/** Steps of a tape, from `first` on. */
export interface StepRange {
  readonly first: number;
  readonly count: number;
}

/** How activations are kept between forward and backward: as they are, or in f16, each row scaled by a power of two. */
export type ActivationType = 'f32' | 'f16';

/** `blocks`: their steps on the way forward, which ends before step `forwardEnd`. */
export function keepHalves(
  device: Device,
  steps: readonly LoadedStep[],
  blocks: readonly StepRange[],
  forwardEnd: number,
): Step[] {
  const uses = new ValueUses(steps);
  const inBlocks = new Set(
    blocks.flatMap(({ first, count }) =>
      Array.from({ length: count }, (_, index) => at(uses.bySteps, first + index).values).flat(),
    ),
  );
  const behind = new Map<number, Launch[]>();
  const before = new Map<number, Launch[]>();
  const widened = new Map<number, number>();
  let next = 1 + Math.max(-1, ...uses.ids);
  for (const id of inBlocks) {
    const value = uses.tensorOf(id);
    const forward = uses.usesOf(id).findLast((index) => index < forwardEnd);
    const backward = uses.usesOf(id).find((index) => index >= forwardEnd);
    const isWrittenBack = uses.writersOf(id).some((index) => index >= forwardEnd);
    if (value === undefined || !mayNarrow(value)) continue;
    if (forward === undefined || backward === undefined || isWrittenBack) continue;
    const halves = halvesOf(value, next++);
    const wide = {
      ...value,
      name: `${value.name} widened`,
      memory: { value: { id: next++, bytes: byteLength(value.shape, value.type) } },
    };
    behind.set(forward, [...(behind.get(forward) ?? []), narrow(device, value, halves)]);
    before.set(backward, [...(before.get(backward) ?? []), widen(halves, wide)]);
    widened.set(id, wide.memory.value.id);
  }
  return steps.flatMap((item, index): Step[] => {
    const step = index < forwardEnd ? item : withValues(item, (id) => widened.get(id) ?? id);
    return [...(before.get(index) ?? []), step.step, ...(behind.get(index) ?? [])];
  });
}

/** What a value takes between forward and backward. */
export function keptBytes(value: Tensor, activations: ActivationType): number {
  return activations === 'f16' && mayNarrow(value)
    ? byteLength(halvesShape(value), 'u32')
    : byteLength(value.shape, value.type);
}

function mayNarrow({ type, shape, memory }: Tensor): boolean {
  if (type !== 'f32' || shape.length < 2 || !('value' in memory)) return false;
  return memory.value.exact !== true && memory.value.bytes === byteLength(shape, type);
}

/** A row is a word with its power of two, and a word for two values. */
function halvesOf(value: Tensor, id: number): Tensor {
  const shape = halvesShape(value);
  const name = `${value.name} in f16`;
  return { name, shape, type: 'u32', memory: { value: { id, bytes: byteLength(shape, 'u32') } } };
}

function halvesShape(value: Tensor): [rows: number, words: number] {
  const columns = dimension(value, -1);
  return [sizeOf(value.shape) / columns, 1 + Math.ceil(columns / 2)];
}

/** f32 [..., columns] to u32 [rows, 1 + ⌈columns / 2⌉]: within 2^-11 of each value, or 2^-38 of the largest of its row. */
export function narrow(device: Device, x: Tensor, halves: Tensor): Launch {
  const columns = dimension(x, -1);
  const rows = sizeOf(x.shape) / columns;
  const share = shareRows(device);
  return {
    kernel: 'activations/narrow',
    constants: share.constants,
    bindings: { x, halves },
    params: { rows, columns },
    groups: grid(share.groups(rows)),
  };
}

/** The way back from what `narrow` made. */
export function widen(halves: Tensor, out: Tensor): Launch {
  const columns = dimension(out, -1);
  const rows = sizeOf(out.shape) / columns;
  const groups = grid(Math.ceil((rows * Math.ceil(columns / 2)) / 64));
  return { kernel: 'activations/widen', bindings: { halves, out }, params: { rows, columns }, groups };
}
