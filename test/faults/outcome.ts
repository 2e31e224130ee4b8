/** What a program has come to: what must be equal, whatever disturbed it, and where two of them part. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** What must be equal at the end, by name, as text. */
export type Outcome = ReadonlyMap<string, string>;

/** Newest checkpoint and metrics of a run, without what a clock decides and where the metrics stood. */
export function runOutcome(directory: string): Outcome {
  const metrics = readFileSync(join(directory, 'metrics.ndjson'), 'utf8').trim().split('\n');
  const lines = metrics.map((line) =>
    JSON.stringify(Object.entries(parsed(line)).filter(([name]) => !/second/i.test(name))),
  );
  const folder = join(directory, 'checkpoints');
  const names = readdirSync(folder).sort();
  const newest = join(folder, names.filter((name) => name.startsWith('step-')).at(-1) ?? '');
  const { metrics: _position, ...state } = parsed(readFileSync(join(newest, 'state.json'), 'utf8'));
  const tensors = readdirSync(newest, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.safetensors'),
  );
  return new Map([
    // The state first: what differs there differs in everything after it.
    ['state', JSON.stringify(state, null, 1)],
    ...tensors.toSorted().map((name): [string, string] => [name, hashOf(join(newest, name))]),
    ['metrics', lines.join('\n')],
    ['newest', names.filter((name) => name.startsWith('step-')).at(-1) ?? ''],
  ]);
}

/** What a wrong bit has made unreadable differs from everything, and is no fault of the walk. */
function parsed(json: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(json) as Readonly<Record<string, unknown>>;
  } catch {
    return { unreadable: json };
  }
}

/** Content hashes of all files below a folder by their paths, but for those whose names `leaveOut` fits. */
export function folderOutcome(folder: string, leaveOut: RegExp): Outcome {
  const names = filesBelow(folder).filter((name) => !leaveOut.test(name));
  return new Map([
    ['names', names.join('\n')],
    ...names.map((name): [string, string] => [name, hashOf(join(folder, name))]),
  ]);
}

/** Names below a folder that are those of locks and of files on their way: as large as a model, and nobody's. */
export function leftoversIn(folder: string): string[] {
  return filesBelow(folder).filter((name) =>
    /(^|\/)(\.tmp-|\.replaced-|lock\b|\.reasongen-pull)|\.(lock|takeover|incomplete)\b/.test(name),
  );
}

/** What differs first, in words; undefined when all is equal. */
export function difference(expected: Outcome, found: Outcome): string | undefined {
  for (const [what, text] of expected)
    if (found.get(what) !== text)
      return `${what} differs from that of the undisturbed run, first ${firstDifference(text, found.get(what))}`;
  return undefined;
}

/** Where two texts part: the line, and what stands there. */
function firstDifference(expected: string, found = ''): string {
  const [a, b] = [expected.split('\n'), found.split('\n')];
  const line = a.findIndex((each, index) => each !== b[index]);
  const at = line < 0 ? a.length : line;
  const [wanted = '(nothing)', got = '(nothing)'] = [a[at], b[at]];
  const column = wanted.split('').findIndex((character, index) => character !== got[index]);
  const from = Math.max(0, column - 60);
  return `in line ${at + 1}, column ${column + 1}:\nexpected …${wanted.slice(from, column + 200)}\nfound    …${got.slice(from, column + 200)}`;
}

function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).toSorted();
  return names.filter((name) => statSync(join(folder, name), { throwIfNoEntry: false })?.isFile());
}

function hashOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}
