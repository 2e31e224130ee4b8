import type { SourceEntry, WeightSource } from '../../contracts/weight-source.ts';
import { elementsOf, fileElementBytes } from './element-types.ts';
import { largestRead } from './file-pieces.ts';

/** The entry a read asks for. Throws RangeError when the caller asks for elements that are not there, or for too many at once. */
export function checkedRange(
  { entries, origin }: Pick<WeightSource, 'entries' | 'origin'>,
  name: string,
  first: number,
  count: number,
): SourceEntry {
  const entry = entries.get(name);
  if (entry === undefined) throw new RangeError(`${origin} has no tensor "${name}"`);
  if (!(first >= 0 && count >= 0 && first + count <= elementsOf(entry))) {
    throw new RangeError(`${origin}: elements ${first} … ${first + count} of "${name}" [${entry.shape}] do not exist`);
  }
  if (count * fileElementBytes[entry.type] > largestRead)
    throw new RangeError(`${origin}: ${count} elements of "${name}" are more than ${largestRead} bytes`);
  return entry;
}
