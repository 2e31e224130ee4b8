/** One safetensors file as a source of weights: the header is read and checked at once, tensors when they are asked for. */
import type { WeightSource } from '../../contracts/weight-source.ts';
import { parseHeader } from '../safetensors-header.ts';
import { headerLength } from '../safetensors.ts';
import { fileElementBytes } from './element-types.ts';
import { FilePieces } from './file-pieces.ts';
import { checkedRange } from './ranges.ts';

/** Throws BAD_SAFETENSORS, naming file and tensor. */
export async function openSafetensors(path: string): Promise<WeightSource> {
  const file = await FilePieces.open(path);
  try {
    const dataStart = 8 + headerLength(await file.read(0, Math.min(8, file.size)), file.size, path);
    const header = parseHeader(await file.read(8, dataStart - 8), file.size - dataStart, path);
    const begins = new Map(header.entries.map(({ name, begin }) => [name, begin]));
    const entries = new Map(header.entries.map(({ name, shape, dtype }) => [name, { shape, type: dtype }]));
    return {
      origin: path,
      entries,
      metadata: header.metadata,
      async read(name, first, count) {
        const entry = checkedRange({ entries, origin: path }, name, first, count);
        const width = fileElementBytes[entry.type];
        const begin = begins.get(name);
        if (begin === undefined) throw new RangeError(`${name} has no place in ${path}`);
        return file.read(dataStart + begin + first * width, count * width);
      },
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}
