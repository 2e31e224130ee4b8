/**
 * Follows a file of lines that another process appends to: each read takes what has come since the last one, a piece at a time, so
 * that memory does not depend on the file's length. A line counts when its end is there. A file that was cut back or replaced, as by a resume, is
 * read anew from its beginning.
 */
import { constants } from 'node:fs';
import { lstat, open, realpath, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode } from '../io/disk.ts';

/** Bytes read at a time, and the longest line: a longer one is passed over. */
const [pieceBytes, longestLine] = [2 ** 18, 2 ** 20];
/** Bytes before the position that are kept to see whether the file is still the same. */
const markBytes = 128;

/** Not there, no file, or not for this process: the list of runs says so. */
const unreadable = ['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'EPERM', 'ESTALE'] as const;

export class LineTail {
  readonly #directory: string;
  readonly #name: string;
  /** Behind the last whole line that was given out. */
  #position = 0;
  /** The bytes before `#position`. */
  #mark = Buffer.alloc(0);
  #inode = 0;

  /** `name` is relative to `directory`; a link, what is no regular file and what cannot be read is taken for an empty file. */
  constructor(directory: string, name: string) {
    this.#directory = directory;
    this.#name = name;
  }

  /** Gives out every new whole line; `onReset` comes first when the file began anew, and whatever was given out is void. */
  async read(onLine: (line: string) => void, onReset: () => void): Promise<void> {
    const file = await this.#open();
    if (file === undefined) {
      this.#restart(onReset);
      return;
    }
    try {
      const { ino, size } = await file.stat();
      if (ino !== this.#inode || size < this.#position || !(await this.#isSame(file))) this.#restart(onReset);
      this.#inode = ino;
      if (size > this.#position) await this.#take(file, size, onLine);
    } finally {
      await file.close();
    }
  }

  #restart(onReset: () => void): void {
    if (this.#position > 0) onReset();
    this.#position = 0;
    this.#mark = Buffer.alloc(0);
  }

  async #isSame(file: FileHandle): Promise<boolean> {
    const now = Buffer.alloc(this.#mark.length);
    const { bytesRead } = await file.read(now, 0, now.length, this.#position - now.length);
    return bytesRead === now.length && now.equals(this.#mark);
  }

  async #take(file: FileHandle, size: number, onLine: (line: string) => void): Promise<void> {
    const piece = Buffer.alloc(Math.min(pieceBytes, size - this.#position));
    let begun = Buffer.alloc(0);
    let isTooLong = false;
    for (let at = this.#position; at < size;) {
      const { bytesRead } = await file.read(piece, 0, Math.min(piece.length, size - at), at);
      if (bytesRead === 0) break;
      let from = 0;
      for (let end = piece.indexOf(10, from); end >= 0 && end < bytesRead; end = piece.indexOf(10, from)) {
        if (!isTooLong) onLine(Buffer.concat([begun, piece.subarray(from, end)]).toString('utf8'));
        [begun, isTooLong, from] = [Buffer.alloc(0), false, end + 1];
        this.#position = at + from;
      }
      isTooLong ||= begun.length + bytesRead - from > longestLine;
      begun = isTooLong ? Buffer.alloc(0) : Buffer.concat([begun, piece.subarray(from, bytesRead)]);
      at += bytesRead;
    }
    // The bytes before the position, as the file has them.
    const mark = Buffer.alloc(Math.min(markBytes, this.#position));
    await file.read(mark, 0, mark.length, this.#position - mark.length);
    this.#mark = mark;
  }

  async #open(): Promise<FileHandle | undefined> {
    const path = join(this.#directory, this.#name);
    try {
      if (!(await lstat(path)).isFile()) return undefined;
      if ((await realpath(path)) !== join(await realpath(this.#directory), this.#name)) return undefined;
      return await open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0));
    } catch (cause) {
      if (hasCode(cause, ...unreadable)) return undefined;
      throw cause;
    }
  }
}

/** The whole lines at the end of a file, at most `bytes` of them; none where there is no such file. */
export async function lastLines(directory: string, name: string, bytes = 2 ** 16): Promise<string[]> {
  const path = join(directory, name);
  let file: FileHandle | undefined;
  try {
    if (!(await lstat(path)).isFile()) return [];
    file = await open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0));
    const { size } = await file.stat();
    const from = Math.max(0, size - bytes);
    const piece = Buffer.alloc(size - from);
    const { bytesRead } = await file.read(piece, 0, piece.length, from);
    const lines = piece.subarray(0, bytesRead).toString('utf8').split('\n').slice(0, -1);
    return from > 0 ? lines.slice(1) : lines;
  } catch (cause) {
    if (hasCode(cause, ...unreadable)) return [];
    throw cause;
  } finally {
    await file?.close();
  }
}
