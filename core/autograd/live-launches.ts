/** Leaves out launches that may be left out: those of a block computed again whose values nothing reads. */
import type { Tensor } from '../tensor/tensor.ts';
import type { LoadedLaunch, LoadedStep } from './bind.ts';

export function dropUnread(steps: readonly LoadedStep[]): LoadedStep[] {
  const read = new Set<number>();
  const live: LoadedStep[] = [];
  for (const item of steps.toReversed()) {
    if ('kernel' in item && item.step.optional === true && !isRead(item, read)) continue;
    live.push(item);
    for (const tensor of tensorsOf(item)) if ('value' in tensor.memory) read.add(tensor.memory.value.id);
  }
  return live.reverse();
}

function isRead({ kernel, step }: LoadedLaunch, read: ReadonlySet<number>): boolean {
  return kernel.bindings.some(({ name, access }) => {
    const memory = access === 'read_write' ? step.bindings[name]?.memory : undefined;
    return memory !== undefined && ('buffer' in memory || read.has(memory.value.id));
  });
}

function tensorsOf(item: LoadedStep): Tensor[] {
  return 'kernel' in item ? Object.values(item.step.bindings) : [item.step.copy.from, item.step.copy.to];
}
