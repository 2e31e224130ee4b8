/** A lock file: one process at a time writes a run. A lock whose process is gone is taken over. */
import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { readFileSync, rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { exitCodes, ReasongenError } from '../errors.ts';
import { diskError, hasCode } from './disk.ts';

interface Holder {
  readonly id: string;
  readonly pid: number;
  readonly host: string;
  /** When the system started the process; tells it from a later one with the same number. */
  readonly processStart: string;
}

export interface Lock {
  release(): void;
}

/** Takes the lock at `path`. Throws RUN_LOCKED when another living process has it. */
export async function takeLock(path: string): Promise<Lock> {
  const own: Holder = { id: randomUUID(), pid: process.pid, host: hostname(), processStart: processStart(process.pid) };
  try {
    if (!(await create(path, own))) {
      requireStale(path);
      await takeOver(path, own);
    }
  } catch (cause) {
    throw diskError(cause, 'locking the run', path);
  }
  return { release: () => release(path, own) };
}

/**
 * Of all that find the same stale lock one makes the guard, looks again, and replaces the lock; no other ever removes one.
 * The guard outlives only a process that dies within these few lines, and the error then names it.
 */
async function takeOver(path: string, own: Holder): Promise<void> {
  const guard = `${path}.takeover`;
  if (!(await create(guard, own))) throw locked(guard, undefined);
  try {
    requireStale(path);
    await rm(path, { force: true });
    if (!(await create(path, own))) throw locked(path, undefined);
  } finally {
    await rm(guard);
  }
}

/** False when the name is taken. */
async function create(path: string, own: Holder): Promise<boolean> {
  try {
    await writeFile(path, `${JSON.stringify(own)}\n`, { flag: 'wx' });
    return true;
  } catch (cause) {
    if (hasCode(cause, 'EEXIST')) return false;
    // The file was made and its content found no room.
    if (hasCode(cause, 'ENOSPC', 'EDQUOT', 'EIO')) await rm(path, { force: true });
    throw cause;
  }
}

/** Throws unless the lock is gone or belongs to a process that is. */
function requireStale(path: string): void {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    if (hasCode(cause, 'ENOENT')) return;
    throw cause;
  }
  const holder = parseHolder(text);
  if (holder === undefined || isAlive(holder)) throw locked(path, holder);
}

function release(path: string, own: Holder): void {
  try {
    if (parseHolder(readFileSync(path, 'utf8'))?.id === own.id) rmSync(path);
  } catch (cause) {
    if (!hasCode(cause, 'ENOENT')) throw diskError(cause, 'unlocking the run', path);
  }
}

function isAlive(holder: Holder): boolean {
  if (holder.host !== hostname()) return true;
  try {
    process.kill(holder.pid, 0);
  } catch (cause) {
    // EPERM: it lives and belongs to somebody else.
    return hasCode(cause, 'EPERM');
  }
  return holder.processStart === processStart(holder.pid);
}

/** Field 22 of /proc/<pid>/stat, in clock ticks since boot; empty where there is no /proc. */
function processStart(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name in parentheses and may hold spaces.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

function parseHolder(text: string): Holder | undefined {
  try {
    const value = JSON.parse(text) as Partial<Holder> | null;
    return typeof value?.pid === 'number' && typeof value.host === 'string' ? (value as Holder) : undefined;
  } catch {
    return undefined;
  }
}

function locked(path: string, holder: Holder | undefined): ReasongenError {
  const who = holder === undefined ? 'another process' : `process ${holder.pid} on ${holder.host}`;
  return new ReasongenError({
    code: 'RUN_LOCKED',
    message: `${who} is writing this run`,
    place: path,
    hint: `wait for it or end it; if it is certainly gone, delete ${path}`,
    exitCode: exitCodes.disk,
  });
}
