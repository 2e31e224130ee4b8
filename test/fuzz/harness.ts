/**
 * Fuzzing with a clock. A target is a reader and some whole inputs; the harness changes bytes of them by seed and asserts of every input
 * that it is read or refused in one message, in bounded time and memory. The readers run in a process of their own, which is ended when
 * an input takes longer than the clock allows: a loop that never returns is a finding like any other.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { formatError, ReasongenError } from '../../core/errors.ts';
import { mutate } from './mutate.ts';

/** The default export of every file in `targets/`. */
export interface FuzzTarget {
  /** Whole inputs, small ones: all others are made of these, unless `make` makes them. */
  seeds(): Promise<readonly Uint8Array[]> | readonly Uint8Array[];
  /**
   * Reads an input wholly, by `file` (its path, with the bytes of `bytes` in it) or by the bytes. What it throws must be a ReasongenError;
   * a reader whose contract is another error turns it into one here, and only that one.
   */
  read(bytes: Uint8Array, file: string): Promise<unknown>;
  /** Makes an input by a grammar; the same number and seed always make the same. */
  make?(number: number, seed: number): Uint8Array;
  /** Characters of the longest refusal, where it may list several mistakes. */
  readonly longest?: number;
  /** Ending of `file`, with its dot. */
  readonly ending?: string;
  /** Inputs of the short form, 150 unless told: fewer for a reader that needs a process or a thread for each. */
  readonly short?: number;
}

/** Input `number` of a target whose seeds were asked for. */
export function inputOf(target: FuzzTarget, seeds: readonly Uint8Array[], number: number, seed: number): Uint8Array {
  return target.make?.(number, seed) ?? mutate(seeds, number, seed);
}

export interface FuzzLimits {
  /** Milliseconds an input may take. Generous: machines are slow and shared, a hang is for ever. */
  readonly clock: number;
  /** Bytes the process may ever hold. */
  readonly memory: number;
}

export const usualLimits: FuzzLimits = { clock: 20_000, memory: 1.5 * 2 ** 30 };

export interface Finding {
  readonly target: string;
  readonly number: number;
  readonly what: string;
}

export interface FuzzCounts {
  readonly read: number;
  readonly refused: number;
}

/** What the child says of an input. */
export type FuzzReport =
  | { readonly kind: 'ready' }
  | { readonly kind: 'begin'; readonly number: number }
  | { readonly kind: 'end'; readonly number: number; readonly outcome: 'read' | 'refused'; readonly wrong?: string }
  | { readonly kind: 'done' };

export interface FuzzRequest {
  readonly target: string;
  readonly seed: number;
  readonly first: number;
  readonly last: number;
  readonly memory: number;
}

const folder = new URL('targets/', import.meta.url);

/** Names of the targets: files of `targets/`. */
export function targetNames(): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.ts'))
    .map((name) => name.slice(0, -'.ts'.length))
    .sort();
}

export async function openTarget(name: string): Promise<FuzzTarget> {
  return ((await import(new URL(`${name}.ts`, folder).href)) as { readonly default: FuzzTarget }).default;
}

/** Tries inputs `first` to `last - 1` of a target. A process that hangs or dies is replaced, and the next input is tried. */
export async function fuzz(
  request: Omit<FuzzRequest, 'memory'>,
  limits = usualLimits,
): Promise<{ readonly counts: FuzzCounts; readonly findings: readonly Finding[] }> {
  const { target } = request;
  const counts = { read: 0, refused: 0 };
  const findings: Finding[] = [];
  for (let first = request.first; first < request.last;) {
    let current = first;
    const how = await session({ ...request, first, memory: limits.memory }, limits.clock, (report) => {
      if (report.kind === 'begin') current = report.number;
      if (report.kind !== 'end') return;
      counts[report.outcome] += 1;
      if (report.wrong !== undefined) findings.push({ target, number: report.number, what: report.wrong });
    });
    if (how !== undefined) findings.push({ target, number: current, what: how });
    first = how === undefined ? request.last : current + 1;
    // A reader that is broken altogether need not be tried to the end.
    if (findings.length >= 20) break;
  }
  return { counts, findings };
}

/** One process, to the end of its inputs (undefined) or to its own, and why. */
function session(request: FuzzRequest, clock: number, hear: (report: FuzzReport) => void): Promise<string | undefined> {
  const child: ChildProcess = fork(fileURLToPath(new URL('child.ts', import.meta.url)), {
    execArgv: ['--import', 'tsx', '--max-old-space-size=1024'],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  return new Promise((resolve) => {
    let said = '';
    let why: string | undefined;
    let isDone = false;
    // Starting takes its own time on a busy machine.
    let timer = setTimeout(() => end('the process did not start'), 120_000);
    const end = (reason: string): void => {
      why = reason;
      child.kill('SIGKILL');
    };
    child.stderr?.on('data', (chunk) => (said = `${said}${String(chunk)}`.slice(-4000)));
    child.on('message', (report: FuzzReport) => {
      clearTimeout(timer);
      hear(report);
      if (report.kind === 'done') isDone = true;
      else timer = setTimeout(() => end(`not done after ${clock / 1000} seconds`), clock);
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve(isDone ? undefined : (why ?? `the process ended (${signal ?? code}): ${said.trim()}`));
    });
    child.send(request);
  });
}

/** What is wrong with how an input was refused; undefined: nothing. */
export function wrongRefusal(error: unknown, longest = 3000): string | undefined {
  if (!(error instanceof ReasongenError))
    return `threw ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
  const text = formatError(error);
  if (text.length > longest) return `a message of ${text.length} characters: ${text.slice(0, 200)}`;
  if (/[A-Za-z0-9+/_-]{400}/.test(text)) return `a message with data in it: ${text.slice(0, 200)}`;
  // eslint-disable-next-line no-control-regex -- what a terminal would obey
  if (/[\u0000-\u0008\u000b-\u001f]/.test(text)) return `a message with control characters: ${JSON.stringify(text)}`;
  return undefined;
}
