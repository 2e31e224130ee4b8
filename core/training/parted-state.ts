/**
 * Tensors of which each rank has a part, those of rank 1 behind those of rank 0: written by the first rank as whole ones, piece by piece, and put back
 * on any number of ranks. No rank holds more than a piece of the others on the host.
 */
import type { Communicator } from '../contracts/communicator.ts';
import type { SourceEntry, WeightSource } from '../contracts/weight-source.ts';
import type { Device } from '../gpu/device.ts';
import { deviceSource, storedTypeOf } from '../io/safetensors-stream.ts';
import { fileElementBytes } from '../io/weight-files/element-types.ts';
import { checkedRange } from '../io/weight-files/ranges.ts';
import { gatherJson } from '../ranks/shares.ts';
import { at } from '../tensor/at.ts';
import { sizeOf, type Tensor } from '../tensor/tensor.ts';

/** Where the parts of a tensor lie. */
export interface PartedTensor {
  readonly type: SourceEntry['type'];
  /** Where the part of each rank begins, and behind them the number of all elements. */
  readonly starts: readonly number[];
}

/** What the other ranks are asked for; nothing more when the first rank is done. */
interface Wanted {
  readonly name: string;
  readonly first: number;
  readonly count: number;
}

/** Of every tensor that any rank has a part of. Every rank calls this. */
export async function layOutParts(
  state: ReadonlyMap<string, Tensor>,
  communicator: Communicator,
): Promise<ReadonlyMap<string, PartedTensor>> {
  const own = [...state].map(([name, { type, shape }]) => [name, storedTypeOf(type), sizeOf(shape)] as const);
  const ranks = await gatherJson(communicator, own);
  const found = new Map<string, PartedTensor>();
  for (const [name, type] of ranks.flat()) {
    const counts = ranks.map((parts) => parts.find(([other]) => other === name)?.[2] ?? 0);
    const starts = [0];
    for (const count of counts) starts.push(at(starts, starts.length - 1) + count);
    found.set(name, { type, starts });
  }
  return found;
}

/** On the first rank `write` reads whole tensors from a source; the others give it their parts until it has. Every rank calls this. */
export async function writeParts(
  { device, state, communicator }: { device: Device; state: ReadonlyMap<string, Tensor>; communicator: Communicator },
  origin: string,
  write: (source: WeightSource) => Promise<void>,
): Promise<void> {
  const layout = await layOutParts(state, communicator);
  const own = deviceSource(device, state, origin);
  const give = async (wanted: Wanted): Promise<readonly Uint8Array[]> => {
    const { starts } = layout.get(wanted.name) ?? { starts: [] };
    const [start, end] = [at(starts, communicator.rank), at(starts, communicator.rank + 1)];
    const [from, to] = [Math.max(start, wanted.first), Math.min(end, wanted.first + wanted.count)];
    const bytes = from < to ? await own.read(wanted.name, from - start, to - from) : new Uint8Array();
    return communicator.allGather(bytes);
  };
  const ask = async (wanted: Wanted | null): Promise<Wanted | null> =>
    at(await gatherJson(communicator, communicator.rank === 0 ? wanted : null), 0);
  if (communicator.rank > 0) {
    for (let wanted = await ask(null); wanted !== null; wanted = await ask(null)) await give(wanted);
    return;
  }
  const entries = new Map<string, SourceEntry>(
    [...layout].map(([name, { type, starts }]) => [name, { type, shape: [at(starts, starts.length - 1)] }]),
  );
  const source: WeightSource = {
    origin,
    entries,
    metadata: {},
    async read(name, first, count) {
      const { type } = checkedRange(this, name, first, count);
      const wanted = { name, first, count };
      await ask(wanted);
      const bytes = new Uint8Array(count * fileElementBytes[type]);
      let place = 0;
      for (const part of await give(wanted)) {
        bytes.set(part, place);
        place += part.length;
      }
      return bytes;
    },
    close: () => Promise.resolve(),
  };
  try {
    await write(source);
  } finally {
    await ask(null);
  }
}
