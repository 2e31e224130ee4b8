/** A block of a tape that was recorded twice: on the way forward, and again for its way back. */
import type { Tensor } from '../tensor/tensor.ts';
import type { Step } from './launch.ts';

/** Step `again + n` does once more what step `first + n` did, and value `id + shift` is value `id` once more. */
export interface Repetition {
  readonly first: number;
  readonly again: number;
  readonly count: number;
  readonly shift: number;
}

/** Where a recording began: how many steps and how many values there were. */
export interface RecordingStart {
  readonly step: number;
  readonly value: number;
}

/**
 * The second recording goes from `again` to the end of the steps, the first has as many from `first`. Throws where they differ: gradients would be those of
 * another block than the one that was computed.
 */
export function repetitionOf(
  block: string,
  steps: readonly Step[],
  first: RecordingStart,
  again: RecordingStart,
  count: number,
): Repetition {
  const shift = again.value - first.value;
  const repeated = steps.length - again.step;
  const refuse = (difference: string): never => {
    throw new RangeError(
      `the block that makes ${block} records something else when it is recorded again for the way back: ${difference}; what it reads must not change behind it (let x = …; x = tape.block(() => f(x)) reads another x then: give it a constant)`,
    );
  };
  if (repeated !== count) refuse(`${repeated} steps instead of ${count}`);
  const isSame = (one: Tensor, other: Tensor): boolean => {
    if (!('value' in one.memory) || !('value' in other.memory))
      return placeOf(one).every((part, index) => part === placeOf(other)[index]);
    const isOwn = one.memory.value.id >= first.value;
    return other.memory.value.id === one.memory.value.id + (isOwn ? shift : 0);
  };
  for (let index = 0; index < count; index++) {
    const [one, other] = [steps[first.step + index], steps[again.step + index]];
    if (one === undefined || other === undefined || describe(one) !== describe(other))
      refuse(`step ${index + 1} is ${other && describe(other)} instead of ${one && describe(one)}`);
    else
      for (const [name, tensor] of Object.entries(tensorsOf(one))) {
        const now = tensorsOf(other)[name];
        if (now === undefined || !isSame(tensor, now))
          refuse(
            `step ${index + 1}, ${describe(one)}, has ${now?.name ?? 'nothing'} as ${name} instead of ${tensor.name}`,
          );
      }
  }
  return { first: first.step, again: again.step, count, shift };
}

function tensorsOf(step: Step): Readonly<Record<string, Tensor>> {
  return 'copy' in step ? step.copy : step.bindings;
}

function placeOf({ memory }: Tensor): readonly unknown[] {
  return 'buffer' in memory ? [memory.buffer, memory.offset] : [memory.value.id];
}

function describe(step: Step): string {
  if ('copy' in step) return 'a copy';
  const { kernel, constants = {}, params = {}, groups } = step;
  return `${String(kernel)} ${JSON.stringify({ ...constants, ...params })} in ${groups.join(' x ')} groups`;
}
