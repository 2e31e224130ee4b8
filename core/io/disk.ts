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
    for await (const chunk of chunks) {
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
  try {
    await through.rm(temporary, { force: true });
    await writeDurably(temporary, [typeof content === 'string' ? new TextEncoder().encode(content) : content], through);
    await through.rename(temporary, path);
    await syncDirectory(dirname(path), through);
  } catch (cause) {
    // What went wrong first is what the user must know; the leftover is hidden and replaced by the next try.
    await through.rm(temporary, { force: true }).catch(() => undefined);
    throw cause;
  }
}

/**
 * Removes what `replaceFile` left in a folder when its process was killed. Only whoever holds the lock of what the folder belongs to
 * may call it; files of other living processes, which write a report without that lock, stay.
 */
export async function removeTemporaries(folder: string, through = disk): Promise<void> {
  const names = await through.readdir(folder).catch((cause: unknown) => {
    if (hasCode(cause, 'ENOENT')) return [];
    throw cause;
  });
  for (const name of names) {
    const [, pid] = /^\.tmp-.+-(\d+)$/.exec(name) ?? [];
    if (pid !== undefined && !isOther(Number(pid))) await through.rm(join(folder, name), { force: true });
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
  if (process.platform === 'win32') return;
  const directory = await through.open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Whether an error of the file system has one of these codes: `hasCode(error, 'ENOENT')`. */
export function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}

/** `cause` in words for a person, exit code 6. An error that already is one of ours passes unchanged. */
export function diskError(cause: unknown, doing: string, place: string, advice?: string): ReasongenError {
  if (cause instanceof ReasongenError) return cause;
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
  const text = cause instanceof Error ? cause.message : String(cause);
  return { code: 'DISK_FAILURE', what: `the disk failed (${text})`, hint: 'check the disk' };
}
