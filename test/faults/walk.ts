/** Runs a program with one fault in it, lets it go on without, and compares the end with that of a run nobody disturbed. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { faultExitCode, faultKinds, type FaultKind, type FaultPoint } from '../../core/io/faults.ts';

/** A program whose effects are walked. */
export interface Scenario {
  readonly name: string;
  /** Arguments of node: to start in a directory that is not there yet, and to go on in one that is. */
  start(directory: string): readonly string[];
  resume(directory: string): readonly string[];
  /** Whether what a fault left is gone on with by `resume`; where a run has begun unless told. */
  begun?(directory: string): boolean;
  /** Exit codes of errors that a fault may end it with, beside that of a disk. */
  readonly exits?: readonly number[];
  readonly environment?: (directory: string) => Readonly<Record<string, string>>;
  /** What must be equal at the end, by name, as text. */
  outcome(directory: string): ReadonlyMap<string, string>;
}

export interface Fault {
  readonly point: FaultPoint;
  readonly occurrence: number;
  readonly kind: FaultKind;
  /** A defect put into the program besides: it never does this. */
  readonly without?: FaultPoint;
  /** Only this one, from 1. */
  readonly withoutOccurrence?: number;
}

interface End {
  readonly code: number | null;
  readonly said: string;
}

export function program(
  args: readonly string[],
  fault?: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<End> {
  const child = spawn(process.execPath, ['--import', 'tsx', ...args], {
    cwd: fileURLToPath(new URL('../../', import.meta.url)),
    env: { ...process.env, ...environment, REASONGEN_FAULT: fault ?? '' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (chunk) => (said += String(chunk)));
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, said })));
}

/** Newest checkpoint and metrics of a run, without what a clock decides and where the metrics stood. */
export function runOutcome(directory: string): ReadonlyMap<string, string> {
  const metrics = readFileSync(join(directory, 'metrics.ndjson'), 'utf8').trim().split('\n');
  const lines = metrics.map((line) =>
    JSON.stringify(Object.entries(JSON.parse(line) as object).filter(([name]) => !/second/i.test(name))),
  );
  const folder = join(directory, 'checkpoints');
  const names = readdirSync(folder).sort();
  const newest = join(folder, names.filter((name) => name.startsWith('step-')).at(-1) ?? '');
  const { metrics: _position, ...state } = JSON.parse(readFileSync(join(newest, 'state.json'), 'utf8')) as Record<
    string,
    unknown
  >;
  const tensors = readdirSync(newest).filter((name) => name.endsWith('.safetensors'));
  const hash = (name: string): string =>
    createHash('sha256')
      .update(readFileSync(join(newest, name)))
      .digest('hex');
  return new Map([
    // The state first: what differs there differs in everything after it.
    ['state', JSON.stringify(state)],
    ...tensors.map((name): [string, string] => [name, hash(name)]),
    ['metrics', lines.join('\n')],
    ['leftovers', names.filter((name) => name.startsWith('.')).join()],
  ]);
}

/** Content hashes of all files below a folder by their paths, but for those whose names `leaveOut` fits. */
export function folderOutcome(folder: string, leaveOut: RegExp): ReadonlyMap<string, string> {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => !leaveOut.test(name));
  const files = names.toSorted().filter((name) => statSync(join(folder, name)).isFile());
  const hashes = files.map((name): [string, string] => [
    name,
    createHash('sha256')
      .update(readFileSync(join(folder, name)))
      .digest('hex'),
  ]);
  return new Map([['names', names.toSorted().join('\n')], ...hashes]);
}

/** All faults of a scenario, and what it comes to without any. */
export async function survey(scenario: Scenario): Promise<{ faults: Fault[]; reference: ReadonlyMap<string, string> }> {
  const folder = mkdtempSync(join(tmpdir(), 'reasongen-faults-'));
  const [directory, counts] = [join(folder, 'run'), join(folder, 'counts.json')];
  const { code, said } = await program(scenario.start(directory), `count:${counts}`, scenario.environment?.(directory));
  if (code !== 0) throw new Error(`${scenario.name} fails without any fault:\n${said}`);
  const reference = scenario.outcome(directory);
  const found = JSON.parse(readFileSync(counts, 'utf8')) as Record<FaultPoint, number>;
  rmSync(folder, { recursive: true });
  const faults = Object.entries(found).flatMap(([point, count]) =>
    Array.from({ length: count }, (_, index) => index + 1).flatMap((occurrence) =>
      kindsOf(point as FaultPoint).map((kind) => ({ point: point as FaultPoint, occurrence, kind })),
    ),
  );
  return { faults, reference };
}

/** Metrics and messages have no checksum: a bit that turns in them is seen by nobody, and decides nothing. */
function kindsOf(point: FaultPoint): readonly FaultKind[] {
  if (point === 'write') return faultKinds;
  if (point === 'append') return faultKinds.filter((kind) => kind !== 'flip');
  return faultKinds.filter((kind) => kind !== 'short' && kind !== 'flip');
}

/** Undefined when all is well; otherwise what went wrong, in words. */
export async function tryFault(
  scenario: Scenario,
  { point, occurrence, kind, without, withoutOccurrence }: Fault,
  reference: ReadonlyMap<string, string>,
): Promise<string | undefined> {
  const folder = mkdtempSync(join(tmpdir(), 'reasongen-faults-'));
  const directory = join(folder, 'run');
  const fault = `${point}:${occurrence}:${kind}${without === undefined ? '' : `:without-${without}${withoutOccurrence === undefined ? '' : `@${withoutOccurrence}`}`}`;
  const environment = scenario.environment?.(directory);
  try {
    const first = await program(scenario.start(directory), fault, environment);
    const wrong = judge(first, kind, scenario.exits);
    if (wrong !== undefined) return `${fault}: ${wrong}\n${first.said}`;
    if (first.code !== 0) {
      const isBegun = scenario.begun?.(directory) ?? existsSync(join(directory, 'run.json'));
      const again = await program(isBegun ? scenario.resume(directory) : scenario.start(directory), '', environment);
      // The fault came after the last word of the run: there is nothing left to do.
      const isOver = again.code === 7 && again.said.includes('NOTHING_TO_TRAIN');
      if (again.code !== 0 && !isOver) return `${fault}: the resumed run ends with ${again.code}\n${again.said}`;
    }
    const record = join(directory, 'run.json');
    if (kind === 'lost' && existsSync(record) && readFileSync(record, 'utf8').includes('is passed over'))
      return `${fault}: a checkpoint had its name before all of it was on the disk`;
    const mine = scenario.outcome(directory);
    for (const [what, expected] of reference)
      if (mine.get(what) !== expected)
        return `${fault}: ${what} differs from that of the undisturbed run, first ${firstDifference(expected, mine.get(what))}`;
    return undefined;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
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

/** A process that a fault ends dies of it; one that meets an error names it, or goes on where it decides nothing. */
function judge({ code, said }: End, kind: FaultKind, exits: readonly number[] = []): string | undefined {
  if (kind === 'SIGKILL' || kind === 'lost') return code === null || code === 137 ? undefined : `ended with ${code}`;
  if (kind === 'exit') return code === faultExitCode ? undefined : `ended with ${code}`;
  if (code === 0) return undefined;
  if (/^\s+at /m.test(said)) return 'a stack trace in place of a message';
  return (code === 6 || exits.includes(code ?? -1)) && /^[A-Z][A-Z_]+( {2}|$)/m.test(said)
    ? undefined
    : `ended with ${code} and without a named error`;
}
