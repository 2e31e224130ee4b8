/** A source whose tensors are put together from row ranges of another's: names, shapes and divisions change, elements do not. */
import type { SourceEntry, WeightSource } from '../../contracts/weight-source.ts';
import { fileElementBytes } from './element-types.ts';
import { checkedRange } from './ranges.ts';

/** Elements [first, first + count) of a tensor of the source. */
export interface SourcePiece {
  readonly source: WeightSource;
  readonly name: string;
  readonly first: number;
  readonly count: number;
}

export interface Assembled {
  readonly entry: SourceEntry;
  /** End to end they are the tensor. */
  readonly pieces: readonly SourcePiece[];
}

/** `close` is what closing it does. */
export function assembledSource(
  origin: string,
  tensors: ReadonlyMap<string, Assembled>,
  metadata: WeightSource['metadata'],
  close: () => Promise<void>,
): WeightSource {
  const entries = new Map([...tensors].map(([name, { entry }]) => [name, entry]));
  return {
    origin,
    entries,
    metadata,
    async read(name, first, count) {
      const { type } = checkedRange({ entries, origin }, name, first, count);
      const parts: { readonly piece: SourcePiece; readonly from: number; readonly to: number }[] = [];
      let start = 0;
      for (const piece of tensors.get(name)?.pieces ?? []) {
        const from = Math.max(first, start);
        const to = Math.min(first + count, start + piece.count);
        if (from < to) parts.push({ piece, from: from - start, to: to - start });
        start += piece.count;
      }
      const [only] = parts;
      if (only !== undefined && parts.length === 1)
        return only.piece.source.read(only.piece.name, only.piece.first + only.from, only.to - only.from);
      const result = new Uint8Array(count * fileElementBytes[type]);
      let at = 0;
      for (const { piece, from, to } of parts) {
        const bytes = await piece.source.read(piece.name, piece.first + from, to - from);
        result.set(bytes, at);
        at += bytes.length;
      }
      return result;
    },
    close,
  };
}

/** The tensors of a source that `keep` accepts. */
export function filtered(source: WeightSource, keep: (name: string) => boolean): WeightSource {
  return {
    ...source,
    entries: new Map([...source.entries].filter(([name]) => keep(name))),
    read: (name, first, count) => source.read(name, first, count),
    close: () => source.close(),
  };
}

/** The tensors of all sources; where two have one of the same name, that of the earlier source counts. Closes all of them. */
export function layered(...sources: readonly WeightSource[]): WeightSource {
  const tensors = new Map<string, Assembled>();
  for (const source of sources) {
    for (const [name, entry] of source.entries) {
      if (!tensors.has(name)) tensors.set(name, whole(source, name, entry));
    }
  }
  const metadata = Object.assign({}, ...sources.toReversed().map((source) => source.metadata)) as Record<
    string,
    string
  >;
  return assembledSource(sources[0]?.origin ?? 'nothing', tensors, metadata, async () => {
    for (const source of sources) await source.close();
  });
}

export function whole(source: WeightSource, name: string, entry: SourceEntry): Assembled {
  return { entry, pieces: [{ source, name, first: 0, count: entry.shape.reduce((product, n) => product * n, 1) }] };
}
