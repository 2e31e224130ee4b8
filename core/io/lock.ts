/**
 * A lock file: one process at a time writes a run, an export, a model in the cache. It appears with its content in one step, and
 * its holder touches it every few seconds. It is taken over when its holder is gone: at once where this system can tell, after
 * some minutes without a sign of life where the holder is on another machine or in another container.
 */
import { randomUUID } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { readFileSync, readlinkSync, statSync, utimesSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { exitCodes, ReasongenError } from '../errors.ts';
import { diskError, hasCode } from './disk.ts';
import { link, rename, rm, rmSync, writeFile } from './files.ts';

interface Holder {
  readonly id: string;
  readonly pid: number;
  readonly host: string;
  /** When the system started the process; tells it from a later one with the same number. */
  readonly processStart: string;
  /** Of the system: a process of an earlier start is gone. */
  readonly boot?: string;
  /** Numbers of processes mean something within one space only; every container has its own. */
  readonly processSpace?: string;
}

export interface Lock {
  release(): void;
}

/** Seconds between two signs of life. */
const beatSeconds = 15;
/** Seconds without one after which a holder that cannot be asked counts as gone. */
const silenceSeconds = 300;

/** Takes the lock at `path`. Throws RUN_LOCKED when another living process has it. `what` is what it writes: `this run`. */
export async function takeLock(path: string, what = 'this run'): Promise<Lock> {
  const own = ownHolder();
  try {
    if (!(await create(path, own))) {
      await requireStale(path, what);
      await takeOver(path, own, what);
    }
  } catch (cause) {
    throw diskError(cause, `locking ${what}`, path);
  }
  await sweep(path, own).catch(() => {
    // A few bytes that decide nothing: the next one to take the lock tries again.
  });
  const beat = setInterval(() => touch(path, own), beatSeconds * 1000);
  beat.unref();
  return {
    release() {
      clearInterval(beat);
      release(path, own, what);
    },
  };
}

/** Whether the lock at `path` is held, as far as can be told without taking it: a holder elsewhere counts for some minutes after its last sign of life. */
export function isHeld(path: string): boolean {
  const holder = parseHolder(readIfThere(path) ?? '');
  if (holder === undefined) return false;
  if (isHere(holder)) return isAlive(holder);
  const silent = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0);
  return !isOfEarlierStart(holder) && Math.abs(silent) < silenceSeconds * 1000;
}

/** Removes what processes left beside the lock that were killed while they took it. Only its holder may. */
async function sweep(path: string, own: Holder): Promise<void> {
  const folder = dirname(path);
  for (const name of await readdir(folder)) {
    if (!name.startsWith(`${basename(path)}.`)) continue;
    const ending = name.slice(basename(path).length + 1);
    const found = join(folder, name);
    if (/^(takeover\.)?[0-9a-f-]{36}$/.test(ending)) await rm(found, { force: true });
    if (ending !== 'takeover') continue;
    // Of one that lives it says that it is looking at this lock.
    const text = readFileSync(found, 'utf8');
    const holder = parseHolder(text);
    if (holder !== undefined && isHere(holder) && !isAlive(holder)) await removeExactly(found, text, own);
  }
}

/**
 * Of all that find the same stale lock one makes the guard, looks again, and replaces the lock; no other ever removes one. The
 * guard of a process that died within these few lines is moved away by its content, never by its name alone.
 */
async function takeOver(path: string, own: Holder, what: string): Promise<void> {
  const guard = `${path}.takeover`;
  if (!(await create(guard, own))) {
    const found = await requireStale(guard, what);
    await removeExactly(guard, found, own);
    if (!(await create(guard, own))) throw locked(guard, what, undefined);
  }
  try {
    await requireStale(path, what);
    await rm(path, { force: true });
    if (!(await create(path, own))) throw locked(path, what, undefined);
  } finally {
    await rm(guard, { force: true });
  }
}

/** Removes the file unless its content is another by now. */
async function removeExactly(path: string, content: string, own: Holder): Promise<void> {
  const aside = `${path}.${own.id}`;
  try {
    await rename(path, aside);
  } catch (cause) {
    if (hasCode(cause, 'ENOENT')) return;
    throw cause;
  }
  const found = readIfThere(aside);
  if (found !== undefined && found !== content) await link(aside, path).catch(() => undefined);
  await rm(aside, { force: true });
}

/** False when the name is taken. The file has its content from the first moment on: a process may be killed at any. */
async function create(path: string, own: Holder, isAgain = false): Promise<boolean> {
  const text = `${JSON.stringify(own)}\n`;
  const temporary = `${path}.${own.id}`;
  try {
    await writeFile(temporary, text);
    await link(temporary, path);
    return true;
  } catch (cause) {
    if (hasCode(cause, 'EEXIST')) return false;
    // Whoever holds the lock may have tidied the temporary file away.
    if (hasCode(cause, 'ENOENT') && !isAgain) return create(path, own, true);
    // File systems without links: the name first, and its content a moment later.
    if (hasCode(cause, 'EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK')) return createWithoutLink(path, text);
    throw cause;
  } finally {
    await rm(temporary, { force: true }).catch(() => undefined);
  }
}

async function createWithoutLink(path: string, text: string): Promise<boolean> {
  try {
    await writeFile(path, text, { flag: 'wx' });
    return true;
  } catch (cause) {
    if (hasCode(cause, 'EEXIST')) return false;
    // The file was made and its content found no room.
    if (hasCode(cause, 'ENOSPC', 'EDQUOT', 'EIO')) await rm(path, { force: true });
    throw cause;
  }
}

/** Throws unless the lock is gone or belongs to a process that is. Returns what the file holds. */
async function requireStale(path: string, what: string): Promise<string> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    if (hasCode(cause, 'ENOENT')) return '';
    throw cause;
  }
  const holder = parseHolder(text);
  // Empty or cut off: made by a process that was killed, or by one that is about to write it.
  if (holder === undefined && (await silence(path)) < beatSeconds) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const now = readIfThere(path);
    if (now !== text && now !== undefined) throw locked(path, what, parseHolder(now));
    return text;
  }
  if (holder === undefined) return text;
  if (isHere(holder)) {
    if (isAlive(holder)) throw locked(path, what, holder);
  } else if (!isOfEarlierStart(holder)) {
    const seconds = await silence(path);
    if (seconds < silenceSeconds) throw locked(path, what, holder, seconds);
  }
  return text;
}

/** Seconds since the file was last touched, by the clock of the file system, which others may see differently from ours. */
async function silence(path: string): Promise<number> {
  const probe = `${path}.${randomUUID()}`;
  try {
    await writeFile(probe, '', { flag: 'wx' });
    const then = await stat(path);
    // The holder that has just taken the lock tidies away what lies beside it.
    const now = await stat(probe).catch(() => then);
    return (now.mtimeMs - then.mtimeMs) / 1000;
  } catch (cause) {
    if (hasCode(cause, 'ENOENT')) return Number.POSITIVE_INFINITY;
    throw cause;
  } finally {
    await rm(probe, { force: true }).catch(() => undefined);
  }
}

function touch(path: string, own: Holder): void {
  try {
    const now = new Date();
    if (parseHolder(readFileSync(path, 'utf8'))?.id === own.id) utimesSync(path, now, now);
  } catch {
    // A sign of life that fails is missed by nobody but other machines, and the next one follows.
  }
}

function release(path: string, own: Holder, what: string): void {
  try {
    if (parseHolder(readFileSync(path, 'utf8'))?.id === own.id) rmSync(path);
  } catch (cause) {
    if (!hasCode(cause, 'ENOENT')) throw diskError(cause, `unlocking ${what}`, path);
  }
}

function ownHolder(): Holder {
  return {
    id: randomUUID(),
    pid: process.pid,
    host: hostname(),
    processStart: startIn(statusOf(process.pid)),
    boot: bootOfSystem(),
    processSpace: processSpace(),
  };
}

/** Whether the number of the process means something to this system. */
function isHere({ host, boot = bootOfSystem(), processSpace: space = processSpace() }: Holder): boolean {
  return host === hostname() && boot === bootOfSystem() && space === processSpace();
}

function isOfEarlierStart({ host, boot }: Holder): boolean {
  return host === hostname() && boot !== undefined && boot !== bootOfSystem();
}

function isAlive(holder: Holder): boolean {
  try {
    process.kill(holder.pid, 0);
  } catch (cause) {
    // EPERM: it lives and belongs to somebody else.
    return hasCode(cause, 'EPERM');
  }
  const status = statusOf(holder.pid);
  // One that has ended keeps its number until somebody has asked how, which in a container may be never.
  return holder.processStart === startIn(status) && status[0] !== 'Z';
}

/** Field 22 of /proc/<pid>/stat, in clock ticks since boot; empty where there is no /proc. */
function startIn(status: readonly string[]): string {
  return status[19] ?? '';
}

/** The fields of /proc/<pid>/stat from the third on, which is the state; none where there is no /proc. */
function statusOf(pid: number): string[] {
  const text = readIfThere(`/proc/${pid}/stat`) ?? '';
  // The second field is the program's name in parentheses and may hold spaces.
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}

function bootOfSystem(): string {
  return readIfThere('/proc/sys/kernel/random/boot_id')?.trim() ?? '';
}

function processSpace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return '';
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function parseHolder(text: string): Holder | undefined {
  try {
    const value = JSON.parse(text) as Partial<Holder> | null;
    const isHolder = Number.isSafeInteger(value?.pid) && Number(value?.pid) > 0 && typeof value?.host === 'string';
    return isHolder ? (value as Holder) : undefined;
  } catch {
    return undefined;
  }
}

function locked(path: string, what: string, holder: Holder | undefined, silent?: number): ReasongenError {
  const who = holder === undefined ? 'another process' : `process ${holder.pid} on ${holder.host}`;
  const wait =
    silent === undefined
      ? ''
      : `; its last sign of life was ${Math.max(0, Math.round(silent))} s ago, and after ${silenceSeconds} s it counts as gone`;
  return new ReasongenError({
    code: 'RUN_LOCKED',
    message: `${who} is writing ${what}`,
    place: path,
    hint: `wait for it or end it${wait}; if it is certainly gone, delete ${path}`,
    exitCode: exitCodes.disk,
  });
}
