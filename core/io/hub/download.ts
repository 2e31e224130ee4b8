/** One file from a hub into the cache: goes on where it stopped, and gets its name only when its content is what was promised. */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { diskError, hasCode } from '../disk.ts';
import type { HubModel } from './cache.ts';
import { wrongContent, type HubClient, type HubFile, type OpenFile } from './client.ts';
import { BrokenTransfer, persistently, type Persistence } from './persistence.ts';
import { open, rename, rm } from '../files.ts';

export interface DownloadOptions extends Persistence {
  readonly client: HubClient;
  readonly model: HubModel;
  readonly commit: string;
  /** Told of bytes that are there, also those from an earlier try; negative when a file has to start over. */
  readonly progress: (bytes: number) => void;
}

/** Fetches `file` to `path` (a blob), which is not there or is replaced. */
export async function download(file: HubFile, path: string, options: DownloadOptions): Promise<void> {
  const { progress } = options;
  const part = `${path}.incomplete`;
  await persistently(
    file.path,
    async () => {
      const before = await sizeOf(part);
      try {
        await fetchRest(file, part, options);
      } catch (error) {
        const now = await sizeOf(part);
        progress(-now);
        if (error instanceof BrokenTransfer && now > before)
          throw new BrokenTransfer(error.message, { isProgress: true, cause: error });
        throw error;
      }
    },
    options,
  );
  await rename(part, path).catch((cause: unknown) => {
    throw diskError(cause, `naming ${file.path}`, path);
  });
}

/** Whether a file has the size and the hash that the hub's list promises. */
export async function hasContent(path: string, file: HubFile): Promise<boolean> {
  if ((await sizeOf(path)) !== file.size) return false;
  return (await hashOf(path, file, file.size)).digest('hex') === file.hash.hex;
}

/** Appends what is missing. Returns when size and hash are right; a file whose content is wrong is deleted. */
async function fetchRest(file: HubFile, part: string, options: DownloadOptions): Promise<void> {
  const { client, model, commit, progress } = options;
  let done = await sizeOf(part);
  if (done > file.size) {
    await rm(part);
    done = 0;
  }
  let hash = await hashOf(part, file, done);
  let isResumed = done > 0;
  progress(done);
  if (done < file.size || file.size === 0) {
    const opened = await client.open(model, commit, file, done);
    if (opened.from !== done) {
      // The server cannot resume.
      progress(-done);
      done = 0;
      hash = newHash(file);
      isResumed = false;
    }
    done = await append(file, part, done, hash, opened, progress);
  }
  if (done < file.size) throw new BrokenTransfer(`the connection ended after ${done} of ${file.size} bytes`);
  const found = hash.digest('hex');
  if (found === file.hash.hex) return;
  await rm(part, { force: true });
  progress(-done);
  // What lay there may have come from elsewhere than this hub.
  if (isResumed) throw new BrokenTransfer(`what was there of ${file.path} does not fit the rest, and is deleted`);
  throw wrongContent(
    file,
    `has the ${file.hash.kind === 'git' ? 'git hash' : 'sha256'} ${found}, not ${file.hash.hex} as the hub's list promises`,
  );
}

/** Returns how many bytes lie there. Of an answer that may be another thing, such as a page that wants a login, nothing is kept unless it is whole. */
async function append(
  file: HubFile,
  part: string,
  begin: number,
  hash: Hash,
  { body, isSure }: OpenFile,
  progress: (bytes: number) => void,
): Promise<number> {
  let done = begin;
  const handle = await open(part, begin === 0 ? 'w' : 'a').catch((cause: unknown) => {
    throw diskError(cause, `writing ${file.path}`, part);
  });
  try {
    for await (const chunk of body) {
      if (done + chunk.length > file.size)
        throw wrongContent(file, `has more than the ${file.size} bytes that the hub's list promises`);
      await writeAll(handle, chunk, part, file);
      hash.update(chunk);
      done += chunk.length;
      progress(chunk.length);
    }
    await handle.sync();
    return done;
  } finally {
    if (!isSure && done < file.size) {
      await handle.truncate(begin);
      progress(begin - done);
    }
    await handle.close();
  }
}

async function writeAll(
  handle: Awaited<ReturnType<typeof open>>,
  chunk: Uint8Array,
  part: string,
  file: HubFile,
): Promise<void> {
  try {
    for (let at = 0; at < chunk.length;) at += (await handle.write(chunk, at)).bytesWritten;
  } catch (cause) {
    throw diskError(cause, `writing ${file.path}`, part, 'and pull again: it goes on where it stopped');
  }
}

function newHash({ hash: { kind }, size }: HubFile): Hash {
  // Git hashes a short header with the content.
  return kind === 'sha256' ? createHash('sha256') : createHash('sha1').update(`blob ${size}\0`);
}

async function hashOf(part: string, file: HubFile, bytes: number): Promise<Hash> {
  const hash = newHash(file);
  if (bytes === 0) return hash;
  try {
    for await (const piece of createReadStream(part, { highWaterMark: 4 * 2 ** 20, end: bytes - 1 }))
      hash.update(piece as Buffer);
  } catch (cause) {
    throw diskError(cause, `reading what is there of ${file.path}`, part);
  }
  return hash;
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (cause) {
    if (hasCode(cause, 'ENOENT')) return 0;
    throw diskError(cause, 'looking at the cache', path);
  }
}
