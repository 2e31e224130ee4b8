/** Whether two tensors of a source are one in two places. */
import type { WeightSource } from '../../contracts/weight-source.ts';
import { elementsOf } from './element-types.ts';
import { largestRead } from './file-pieces.ts';
import { floatsOf } from './floats.ts';

/** The same numbers in the same shape, of whatever types. Reads both, piece by piece. */
export async function holdSame(source: WeightSource, one: string, other: string): Promise<boolean> {
  const [first, second] = [source.entries.get(one), source.entries.get(other)];
  if (first === undefined || second?.shape.join() !== first.shape.join()) return false;
  const count = elementsOf(first);
  const step = Math.floor(largestRead / 8);
  for (let start = 0; start < count; start += step) {
    const length = Math.min(step, count - start);
    const values = floatsOf(await source.read(one, start, length), first.type);
    const others = floatsOf(await source.read(other, start, length), second.type);
    if (others === undefined || values?.every((value, index) => value === others[index]) !== true) return false;
  }
  return true;
}
