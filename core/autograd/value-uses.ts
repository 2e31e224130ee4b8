/** Which launches of a program read and write which of its values. */
import type { Tensor } from '../tensor/tensor.ts';
import type { LoadedStep } from './bind.ts';

export interface StepUses {
  /** Ids of all values that are read or written. */
  readonly values: readonly number[];
  readonly writes: readonly number[];
  /** It writes more than values and tallies: what it does cannot be left out. */
  readonly isLasting: boolean;
}

export function usesOf(item: LoadedStep): StepUses {
  const bound = boundBy(item);
  const written = bound.filter(({ isWritten }) => isWritten);
  return {
    values: bound.flatMap(({ tensor }) => idOf(tensor) ?? []),
    writes: written.flatMap(({ tensor }) => idOf(tensor) ?? []),
    isLasting: 'copy' in item.step || written.some(({ tensor, isTally }) => !isTally && 'buffer' in tensor.memory),
  };
}

interface Bound {
  readonly tensor: Tensor;
  readonly isWritten: boolean;
  readonly isTally: boolean;
}

function boundBy(item: LoadedStep): Bound[] {
  if (!('kernel' in item)) {
    const { from, to } = item.step.copy;
    return [
      { tensor: from, isWritten: false, isTally: false },
      { tensor: to, isWritten: true, isTally: false },
    ];
  }
  const { tallies = [] } = item.step;
  return item.kernel.bindings.flatMap(({ name, access }) => {
    const tensor = item.step.bindings[name];
    return tensor === undefined
      ? []
      : [{ tensor, isWritten: access === 'read_write', isTally: tallies.includes(name) }];
  });
}

function idOf({ memory }: Tensor): number | undefined {
  return 'value' in memory ? memory.value.id : undefined;
}

/** The same step on other values. */
export function withValues(item: LoadedStep, other: (id: number) => number): LoadedStep {
  const exchanged = (tensor: Tensor): Tensor => {
    if (!('value' in tensor.memory)) return tensor;
    const { value } = tensor.memory;
    const id = other(value.id);
    return id === value.id ? tensor : { ...tensor, memory: { value: { ...value, id } } };
  };
  if (!('kernel' in item)) {
    const { from, to } = item.step.copy;
    return { step: { copy: { from: exchanged(from), to: exchanged(to) } } };
  }
  const bindings = Object.fromEntries(
    Object.entries(item.step.bindings).map(([name, tensor]) => [name, exchanged(tensor)]),
  );
  return { ...item, step: { ...item.step, bindings } };
}

/** All uses of the values of a program. */
export class ValueUses {
  readonly bySteps: readonly StepUses[];
  private readonly usedAt = new Map<number, number[]>();
  private readonly writtenAt = new Map<number, number[]>();
  /** Each value as the first step has it that writes it, whatever views of it others have. */
  private readonly tensors = new Map<number, Tensor>();

  constructor(steps: readonly LoadedStep[]) {
    this.bySteps = steps.map(usesOf);
    for (const [index, { values, writes }] of this.bySteps.entries()) {
      for (const id of new Set(values)) append(this.usedAt, id, index);
      for (const id of new Set(writes)) append(this.writtenAt, id, index);
    }
    for (const { tensor, isWritten } of steps.flatMap(boundBy)) {
      const id = idOf(tensor);
      if (isWritten && id !== undefined && !this.tensors.has(id)) this.tensors.set(id, tensor);
    }
  }

  /** A value as it is written. */
  tensorOf(id: number): Tensor | undefined {
    return this.tensors.get(id);
  }

  get ids(): Iterable<number> {
    return this.usedAt.keys();
  }

  /** Indices of the steps that read or write a value, in order. */
  usesOf(id: number): readonly number[] {
    return this.usedAt.get(id) ?? [];
  }

  /** Indices of the steps that write it, in order. */
  writersOf(id: number): readonly number[] {
    return this.writtenAt.get(id) ?? [];
  }
}

function append(lists: Map<number, number[]>, id: number, index: number): void {
  const list = lists.get(id);
  if (list === undefined) lists.set(id, [index]);
  else list.push(index);
}
