/** One file from a hub into the cache: goes on where it stopped, and gets its name only when its content is what was promised. */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rename, rm, stat } from 'node:fs/promises';
import { exitCodes, ReasongenError } from '../../errors.ts';
import { diskError, hasCode } from '../disk.ts';
import type { HubModel } from './cache.ts';
import type { HubClient, HubFile } from './client.ts';
import { BrokenTransfer, persistently, type Persistence } from './persistence.ts';

export interface DownloadOptions extends Persistence {
  readonly client: HubClient;
  readonly model: HubModel;
  readonly commit: string;
  /** Told of bytes that are there, also those from an earlier try; negative when a file has to start over. */
  readonly progress: (bytes: number) => void;
}

/** Fetches `file` to `path` (a blob). Returns at once when it is there. */
export async function download(file: HubFile, path: string, options: DownloadOptions): Promise<void> {
  const { progress } = options;
  if ((await sizeOf(path)) === file.size) return progress(file.size);
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

/** Appends what is missing. Returns when size and hash are right; a file whose content is wrong is deleted. */
async function fetchRest(
  file: HubFile,
  part: string,
  { client, model, commit, progress }: DownloadOptions,
): Promise<void> {
  let done = await sizeOf(part);
  if (done > file.size) {
    await rm(part);
    done = 0;
  }
  let hash = await hashOf(part, file, done);
  progress(done);
  if (done < file.size || file.size === 0) {
    const { from, body } = await client.open(model, commit, file, done);
    if (from !== done) {
      // The server cannot resume.
      progress(-done);
      done = 0;
      hash = newHash(file);
    }
    const handle = await open(part, done === 0 ? 'w' : 'a').catch((cause: unknown) => {
      throw diskError(cause, `writing ${file.path}`, part);
    });
    try {
      for await (const chunk of body) {
        if (done + chunk.length > file.size)
          throw wrong(file, `has more than the ${file.size} bytes that the hub's list promises`);
        await writeAll(handle, chunk, part, file);
        hash.update(chunk);
        done += chunk.length;
        progress(chunk.length);
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
  if (done < file.size) throw new BrokenTransfer(`the connection ended after ${done} of ${file.size} bytes`);
  const found = hash.digest('hex');
  if (found === file.hash.hex) return;
  await rm(part, { force: true });
  throw wrong(
    file,
    `has the ${file.hash.kind === 'git' ? 'git hash' : 'sha256'} ${found}, not ${file.hash.hex} as the hub's list promises`,
  );
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

function wrong(file: HubFile, what: string): ReasongenError {
  return new ReasongenError({
    code: 'HUB_CONTENT',
    message: `${file.path} ${what}: it was changed on the way or on the hub`,
    hint: 'pull again; if it stays so, do not trust this hub',
    exitCode: exitCodes.disk,
  });
}
