/**
 * Writing that survives a crash: bytes reach the disk before a name points at them, and whatever goes wrong becomes one
 * clear error. `Files` is the part of `node:fs/promises` in use, so that a test can let any call fail.
 */
import { createHash } from 'node:crypto';
import type * as nodeFiles from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { exitCodes, ReasongenError } from '../errors.ts';
import { files } from './files.ts';
import type { FileFingerprint } from './fingerprint.ts';

export type Files = Pick<typeof nodeFiles, 'mkdir' | 'open' | 'readdir' | 'rename' | 'rm'>;

export const disk: Files = files;

/** Bytes that are written together: models have hundreds of tensors of a few bytes. */
const together = 2 ** 20;

/** Small chunks joined; each may be used again by whoever made it when the next is asked for. */
async function* joined(chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  let waiting: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    if (bytes + chunk.byteLength > together && bytes > 0) {
      yield Buffer.concat(waiting);
      [waiting, bytes] = [[], 0];
    }
    if (chunk.byteLength >= together) yield chunk;
    else {
      waiting.push(new Uint8Array(chunk));
      bytes += chunk.byteLength;
    }
  }
  if (bytes > 0) yield Buffer.concat(waiting);
}

/** Writes a new file, chunk by chunk, and waits until the disk has it. Replaces nothing: the name must be free. */
export async function writeDurably(
  path: string,
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  through = disk,
): Promise<FileFingerprint> {
  const hash = createHash('sha256');
  let bytes = 0;
  const file = await through.open(path, 'wx');
  try {
    for await (const chunk of joined(chunks)) {
      hash.update(chunk);
      for (let done = 0; done < chunk.byteLength;) {
        const { bytesWritten } = await file.write(chunk, done, Math.min(chunk.byteLength - done, 2 ** 30));
        done += bytesWritten;
      }
      bytes += chunk.byteLength;
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return { bytes, sha256: hash.digest('hex') };
}

/** Replaces a file in one step: a reader sees the old content or the new one, never a part. */
export async function replaceFile(path: string, content: string | Uint8Array, through = disk): Promise<void> {
  const temporary = join(dirname(path), `.tmp-${basename(path)}-${process.pid}`);
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
  const write = async (): Promise<void> => {
    await through.rm(temporary, { force: true });
    await writeDurably(temporary, [bytes], through);
    await through.rename(temporary, path);
  };
  try {
    await write().catch((cause: unknown) => {
      // A process on another machine took it for that of one that is gone.
      if (hasCode(cause, 'ENOENT')) return write();
      throw cause;
    });
    await syncDirectory(dirname(path), through);
  } catch (cause) {
    // What went wrong first is what the user must know; the leftover is hidden and replaced by the next try.
    await through.rm(temporary, { force: true }).catch(() => undefined);
    throw cause;
  }
}

/** The same for a file in a folder that nobody locks and sweeps: what killed processes left of earlier tries goes, too. */
export async function replaceLoneFile(path: string, content: string | Uint8Array): Promise<void> {
  await removeTemporaries(dirname(path), { of: basename(path) });
  await replaceFile(path, content);
}

export interface TemporaryChoice {
  /** Only those of this file. */
  readonly of?: string;
  /** In the folders below, too. */
  readonly isDeep?: boolean;
}

/** Removes what `replaceFile` and its like left in a folder when their process was killed. What living processes of this machine write stays. */
export async function removeTemporaries(
  folder: string,
  { of, isDeep = false }: TemporaryChoice = {},
  through = disk,
): Promise<void> {
  const entries = await through.readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
    if (hasCode(cause, 'ENOENT')) return [];
    throw cause;
  });
  for (const entry of entries) {
    const path = join(folder, entry.name);
    const [, name, pid] = /^\.tmp-(.+)-(\d+)$/.exec(entry.name) ?? [];
    if (pid !== undefined && (of === undefined || of === name)) {
      if (!isOther(Number(pid))) await through.rm(path, { recursive: true, force: true });
    } else if (isDeep && entry.isDirectory()) await removeTemporaries(path, { isDeep }, through);
  }
}

/** Whether a process of that number lives beside this one. */
function isOther(pid: number): boolean {
  if (pid === process.pid || pid === 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    return hasCode(cause, 'EPERM');
  }
}

/** Makes the names in a directory durable. Windows has no such call and needs none. */
export async function syncDirectory(path: string, through = disk): Promise<void> {
  if (process.platform !== 'win32') await sync(path, 'r', through);
}

/** Makes durable what was added to a file. */
export async function syncFile(path: string, through = disk): Promise<void> {
  await sync(path, 'r+', through);
}

async function sync(path: string, flags: 'r' | 'r+', through: typeof disk): Promise<void> {
  const file = await through.open(path, flags);
  try {
    await file.sync().catch((cause: unknown) => {
      // Some network file systems know no such call, for folders or at all.
      if (!hasCode(cause, 'EINVAL', 'ENOTSUP', 'ENOSYS')) throw cause;
    });
  } finally {
    await file.close();
  }
}

/** Whether an error of the file system has one of these codes: `hasCode(error, 'ENOENT')`. */
export function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}

/** Reads once more where the disk reports an error: over a network, or while a disk wakes up, such errors pass. */
export async function readTwice<Value>(read: () => Promise<Value>): Promise<Value> {
  try {
    return await read();
  } catch (cause) {
    if (hasCode(cause, 'EIO')) return read();
    throw cause;
  }
}

/** `cause` in words for a person, exit code 6. An error that already is one of ours passes unchanged. */
export function diskError(cause: unknown, doing: string, place: string, advice?: string): ReasongenError {
  if (cause instanceof ReasongenError) return cause;
  if (hasCode(cause, 'ENOMEM')) return outOfMemory(cause, doing, place);
  const { code, what, hint } = explain(cause);
  return new ReasongenError({
    code,
    message: `${what} while ${doing}`,
    place,
    hint: advice === undefined ? hint : `${hint}; ${advice}`,
    exitCode: exitCodes.disk,
    cause,
  });
}

function outOfMemory(cause: unknown, doing: string, place: string): ReasongenError {
  const text = cause instanceof Error ? cause.message : String(cause);
  return new ReasongenError({
    code: 'OUT_OF_MEMORY',
    message: `the machine has not enough memory (${text}) while ${doing}`,
    place,
    hint: 'end other programs, or keep the data in smaller pieces',
    exitCode: exitCodes.outOfMemory,
    cause,
  });
}

function explain(cause: unknown): { code: string; what: string; hint: string } {
  if (hasCode(cause, 'ENOSPC', 'EDQUOT')) {
    return { code: 'DISK_FULL', what: 'there is no space left on the disk', hint: 'free some space' };
  }
  if (hasCode(cause, 'EROFS')) {
    return {
      code: 'DISK_READ_ONLY',
      what: 'the file system is read-only',
      hint: 'choose a directory that can be written',
    };
  }
  if (hasCode(cause, 'EACCES', 'EPERM')) {
    return { code: 'DISK_FORBIDDEN', what: 'permission was denied', hint: 'give this user the right to write there' };
  }
  if (hasCode(cause, 'ENOENT')) {
    return { code: 'FILE_NOT_FOUND', what: 'a file or directory does not exist', hint: 'check the path' };
  }
  if (hasCode(cause, 'EEXIST')) {
    return {
      code: 'FILE_EXISTS',
      what: 'the name is already taken',
      hint: 'choose another name; nothing is overwritten',
    };
  }
  if (hasCode(cause, 'ENOTDIR', 'EISDIR')) {
    return {
      code: 'WRONG_FILE_KIND',
      what: 'a file stands where a directory should, or the reverse',
      hint: 'check the path',
    };
  }
  if (hasCode(cause, 'EMFILE', 'ENFILE')) {
    return {
      code: 'TOO_MANY_FILES',
      what: 'the system allows no more open files',
      hint: 'raise the limit, `ulimit -n 4096`, or end programs that hold many',
    };
  }
  const text = cause instanceof Error ? cause.message : String(cause);
  return { code: 'DISK_FAILURE', what: `the disk failed (${text})`, hint: 'check the disk' };
}
