/** Work shared out among ranks, and what they have found put together. */
import type { Communicator } from '../contracts/communicator.ts';
import { exitCodes, ReasongenError } from '../errors.ts';

type Place = Pick<Communicator, 'rank' | 'size'>;

/** Beginning and end of what a rank takes of `count` things in a row: neighbors, as many as the others take but for one. */
export function shareRange(count: number, { rank, size }: Place): readonly [start: number, end: number] {
  return [Math.floor((count * rank) / size), Math.floor((count * (rank + 1)) / size)];
}

/** The most that any rank takes of `count` things. */
export function largestShare(count: number, { size }: Pick<Place, 'size'>): number {
  return Math.ceil(count / size);
}

export function shareOf<Item>(items: readonly Item[], place: Place): readonly Item[] {
  return items.slice(...shareRange(items.length, place));
}

/** Throws where a rank would have nothing to do. `what` is the option that says how many there are: `recipe.batch`. */
export function refuseFewer(count: number, { size }: Place, what: string): void {
  if (count >= size) return;
  throw new ReasongenError({
    code: 'TOO_MANY_RANKS',
    message: `${what} is ${count}, and there are ${size} ranks to share it`,
    hint: `start at most ${count} ranks, or raise ${what}`,
    exitCode: exitCodes.badPreset,
  });
}

/** What every rank has of a value that is JSON, in the order of ranks. Numbers keep every bit. */
export async function gatherJson<Value>(communicator: Communicator, value: Value): Promise<Value[]> {
  if (communicator.size === 1) return [value];
  const texts = await communicator.allGather(new TextEncoder().encode(JSON.stringify(value)));
  return texts.map((bytes) => JSON.parse(new TextDecoder().decode(bytes)) as Value);
}

/** Sums over ranks of numbers by name, in the order of ranks. Each rank may know other names. */
export async function sumOverRanks(
  communicator: Communicator,
  numbers: Readonly<Record<string, number>>,
): Promise<Record<string, number>> {
  const sums: Record<string, number> = {};
  // NaN and infinity are no JSON.
  const texts = Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, String(value)]));
  for (const own of await gatherJson(communicator, texts))
    for (const [name, value] of Object.entries(own)) sums[name] = (sums[name] ?? 0) + Number(value);
  return sums;
}
