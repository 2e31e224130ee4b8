import { isAlias, isMap, isScalar, isSeq, LineCounter, type ParsedNode, parse, parseDocument } from 'yaml';
import type { Origin } from '../contracts/preset.ts';
import { PresetError } from '../errors.ts';

/** A YAML value that knows where it was written. Merging and checking work on these, so every message has a place. */
export type Located = LocatedMap | LocatedList | LocatedScalar;

export interface LocatedMap {
  readonly kind: 'map';
  readonly origin: Origin;
  readonly entries: ReadonlyMap<string, LocatedEntry>;
}

export interface LocatedEntry {
  /** Where the key stands; the value has its own origin. */
  readonly key: Origin;
  readonly value: Located;
}

export interface LocatedList {
  readonly kind: 'list';
  readonly origin: Origin;
  readonly items: readonly Located[];
}

export interface LocatedScalar {
  readonly kind: 'scalar';
  readonly origin: Origin;
  readonly value: string | number | boolean | null;
}

/** Reads YAML text; syntax errors go to `problems` and give `undefined`. An empty document is an empty map. */
export function parseLocated(text: string, file: string, problems: PresetError[]): Located | undefined {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const originAt = (offset: number): Origin => {
    const { line, col } = lines.linePos(offset);
    return { kind: 'file', source: file, line, column: col };
  };
  const faults = [...document.errors, ...document.warnings];
  for (const fault of faults) {
    problems.push(new PresetError({ code: 'BAD_YAML', message: fault.message, place: place(originAt(fault.pos[0])) }));
  }
  if (faults.length > 0) return undefined;
  if (document.contents === null) return { kind: 'map', origin: originAt(0), entries: new Map() };
  return convert(document.contents, originAt, problems);
}

function convert(node: ParsedNode, originAt: (offset: number) => Origin, problems: PresetError[]): Located | undefined {
  const origin = originAt(node.range[0]);
  const refuse = (message: string): undefined => {
    problems.push(new PresetError({ code: 'BAD_YAML', message, place: place(origin) }));
    return undefined;
  };
  if (isAlias(node)) return refuse('anchors and aliases have no meaning in a preset; share values with `extends`');
  if (isScalar(node)) {
    const { value } = node;
    if (value === null || ['string', 'number', 'boolean'].includes(typeof value)) {
      return { kind: 'scalar', origin, value: value as LocatedScalar['value'] };
    }
    return refuse(`a ${typeof value} has no meaning in a preset`);
  }
  if (isSeq<ParsedNode>(node)) {
    const items = node.items.flatMap((item) => convert(item, originAt, problems) ?? []);
    return { kind: 'list', origin, items };
  }
  if (!isMap<ParsedNode, ParsedNode | null>(node)) return refuse('this has no meaning in a preset');
  const entries = new Map<string, LocatedEntry>();
  for (const { key, value } of node.items) {
    if (!isScalar(key)) {
      refuse('a key must be a plain name');
      continue;
    }
    const keyOrigin = originAt(key.range?.[0] ?? node.range[0]);
    const located = value === null ? nothing(keyOrigin) : convert(value, originAt, problems);
    if (located !== undefined) entries.set(String(key.value), { key: keyOrigin, value: located });
  }
  return { kind: 'map', origin, entries };
}

function nothing(origin: Origin): LocatedScalar {
  return { kind: 'scalar', origin, value: null };
}

/** The value of a `--set path=value`, read as YAML: `2e-3` is a number, `[a, b]` a list. */
export function parseValue(text: string, origin: Origin): Located {
  return locate(parse(text) as unknown, origin);
}

/** Gives every part of a plain value one origin. */
export function locate(value: unknown, origin: Origin): Located {
  if (Array.isArray(value)) return { kind: 'list', origin, items: value.map((item) => locate(item, origin)) };
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).map(
      ([key, item]) => [key, { key: origin, value: locate(item, origin) }] as const,
    );
    return { kind: 'map', origin, entries: new Map(entries) };
  }
  return { kind: 'scalar', origin, value: value as LocatedScalar['value'] };
}

/** The plain value, without places. */
export function plain(node: Located): unknown {
  switch (node.kind) {
    case 'scalar':
      return node.value;
    case 'list':
      return node.items.map(plain);
    case 'map':
      return Object.fromEntries([...node.entries].map(([key, entry]) => [key, plain(entry.value)]));
  }
}

/** The part at `path`, or the nearest part around it: a missing key has no place of its own. */
export function nearestPart(node: Located, path: readonly PropertyKey[]): Located {
  let current = node;
  for (const key of path) {
    const next =
      current.kind === 'map'
        ? current.entries.get(String(key))?.value
        : current.kind === 'list'
          ? current.items[Number(key)]
          : undefined;
    if (next === undefined) return current;
    current = next;
  }
  return current;
}

/** `file:line:column`, relative to the current directory where that is shorter; `--set ...` as typed. */
export function place(origin: Origin): string {
  if (origin.kind !== 'file') return origin.source;
  const directory = `${process.cwd()}/`;
  const file = origin.source.startsWith(directory) ? origin.source.slice(directory.length) : origin.source;
  return `${file}:${origin.line}:${origin.column}`;
}
