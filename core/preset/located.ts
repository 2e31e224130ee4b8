import { isAlias, isMap, isScalar, isSeq, LineCounter, type ParsedNode, parseDocument } from 'yaml';
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
  const originAt = (offset: number): Origin => {
    const { line, col } = lines.linePos(offset);
    return { kind: 'file', source: file, line, column: col };
  };
  const read = readYaml(text, lines, originAt, problems);
  return read === null ? { kind: 'map', origin: originAt(0), entries: new Map() } : read;
}

/** The value of a `--set path=value`, read as YAML: `2e-3` is a number, `[a, b]` a list, nothing is `null`. */
export function parseValue(text: string, origin: Origin, problems: PresetError[]): Located | undefined {
  const read = readYaml(text, undefined, () => origin, problems);
  return read === null ? nothing(origin) : read;
}

/** Larger than any preset, and small enough to be read in a second. */
const largestText = 2 ** 20;
/** Deeper than any preset, and far from what the stack holds. */
const deepest = 50;

/** The value of a document; null when it is empty, undefined when something is wrong with it. */
function readYaml(
  text: string,
  lineCounter: LineCounter | undefined,
  originAt: (offset: number) => Origin,
  problems: PresetError[],
): Located | null | undefined {
  const refuse: Refuse = (message, offset, hint) => {
    problems.push(new PresetError({ code: 'BAD_YAML', message, place: place(originAt(offset)), hint }));
    return undefined;
  };
  if (text.length > largestText)
    return refuse(
      `a preset has at most ${largestText} characters, and this has ${text.length}`,
      0,
      'check that it is the file you mean; long lists of prompts belong in files of their own',
    );
  let document: ReturnType<typeof parseDocument>;
  try {
    // Keys that stand twice are found by `convert`: the library compares every key with every other.
    document = parseDocument(text, { prettyErrors: false, uniqueKeys: false, ...(lineCounter && { lineCounter }) });
  } catch (error) {
    // The library goes down by calling itself.
    if (error instanceof RangeError) return refuseDepth(refuse, 0);
    throw error;
  }
  const faults = [...document.errors, ...document.warnings];
  const tooDeep = faults.find(({ message }) => message.includes('call stack'));
  if (tooDeep !== undefined) return refuseDepth(refuse, tooDeep.pos[0]);
  for (const { message, pos } of faults) refuse(message, pos[0], hintFor(message));
  if (faults.length > 0) return undefined;
  return document.contents === null ? null : convert(document.contents as ParsedNode, originAt, refuse, 0);
}

type Refuse = (message: string, offset: number, hint: string) => undefined;

function refuseDepth(refuse: Refuse, offset: number): undefined {
  return refuse('this is nested too deeply', offset, `a preset has at most ${deepest} levels; close the brackets`);
}

/** What to do about what the library says. */
function hintFor(message: string): string {
  const found = hints.find(([words]) => words.test(message));
  return (
    found?.[1] ?? 'check indentation, brackets and quotes, and quote texts that have : # or other signs of YAML in them'
  );
}

const hints: readonly (readonly [words: RegExp, hint: string])[] = [
  [/tab/i, 'indent with spaces'],
  [
    /compact mapping|Implicit map key|Nested mappings/i,
    'indent what belongs to a key, and quote a text with ": " in it',
  ],
  [/quote/i, 'close the quote'],
  [/flow|must end with/i, 'close the bracket'],
  [/tag/i, 'leave out what begins with !'],
  [/document/i, 'a file holds one preset: leave out the line ---'],
  [/unique/i, 'write each key once'],
];

function convert(
  node: ParsedNode,
  originAt: (offset: number) => Origin,
  refuse: Refuse,
  depth: number,
): Located | undefined {
  const [offset] = node.range;
  const origin = originAt(offset);
  if (depth > deepest) return refuseDepth(refuse, offset);
  if (isAlias(node))
    return refuse('anchors and aliases have no meaning in a preset', offset, 'share values with `extends`');
  if (isScalar(node)) {
    const { value } = node;
    if (value === null || ['string', 'number', 'boolean'].includes(typeof value)) {
      return { kind: 'scalar', origin, value: value as LocatedScalar['value'] };
    }
    return refuse(
      `a ${typeof value} has no meaning in a preset`,
      offset,
      'write a text, a number, true, false or null',
    );
  }
  if (isSeq<ParsedNode>(node)) {
    const items = node.items.flatMap((item) => convert(item, originAt, refuse, depth + 1) ?? []);
    return { kind: 'list', origin, items };
  }
  if (!isMap<ParsedNode, ParsedNode | null>(node))
    return refuse('this has no meaning in a preset', offset, 'write a map, a list or a value');
  const entries = new Map<string, LocatedEntry>();
  for (const { key, value } of node.items) {
    if (!isScalar(key)) {
      refuse('a key must be a plain name', key.range[0], 'write `name: value`');
      continue;
    }
    const at = key.range?.[0] ?? offset;
    const name = String(key.value);
    if (entries.has(name)) refuse('Map keys must be unique', at, 'write each key once');
    const located = value === null ? nothing(originAt(at)) : convert(value, originAt, refuse, depth + 1);
    if (located !== undefined) entries.set(name, { key: originAt(at), value: located });
  }
  return { kind: 'map', origin, entries };
}

function nothing(origin: Origin): LocatedScalar {
  return { kind: 'scalar', origin, value: null };
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
