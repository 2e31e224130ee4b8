/** Bytes named by their hash, on the way from a run to its workers: through Redis in pieces, or through a folder that all of them see. */
import { mkdir, readFile, rename, rm, utimes, open } from 'node:fs/promises';
import { join } from 'node:path';
import { diskError, hasCode } from '../../core/plugin.ts';
import type { Redis } from './library.ts';
import { sha256 } from './protocol.ts';

export interface BlobStore {
  /** Puts them where workers find them, unless they are there. */
  put(hash: string, bytes: Uint8Array): Promise<void>;
  /** undefined where they are not, or not whole: bytes of another hash are never handed out. */
  get(hash: string): Promise<Uint8Array | undefined>;
  /** Which of them are not there; the others are kept for another while. */
  missing(hashes: readonly string[]): Promise<string[]>;
  drop(hashes: readonly string[]): Promise<void>;
}

/** Bytes of a piece: larger ones are slower. */
const pieceBytes = 2 ** 20;

/** Pieces that are under way at a time: each by itself would wait for the network there and back. */
const piecesAtOnce = 16;

/** Seconds that pieces stay in Redis without being asked for: what a killed run leaves behind goes by itself. */
const keptSeconds = 3600;

/** In Redis, under keys of one run. A blob is there when its list of pieces is, which is written last. */
export class RedisBlobs implements BlobStore {
  private readonly redis: Redis;
  private readonly prefix: string;

  constructor(redis: Redis, run: string) {
    this.redis = redis;
    this.prefix = `reasongen:${run}:`;
  }

  async put(hash: string, bytes: Uint8Array): Promise<void> {
    const pieces = Math.ceil(bytes.byteLength / pieceBytes);
    await inTurns(pieces, (index) => {
      const piece = Buffer.from(bytes.subarray(index * pieceBytes, (index + 1) * pieceBytes));
      return this.redis.set(this.pieceKey(hash, index), piece, 'EX', keptSeconds);
    });
    await this.redis.set(this.key(hash), String(pieces), 'EX', keptSeconds);
  }

  async get(hash: string): Promise<Uint8Array | undefined> {
    const pieces = Number(await this.redis.get(this.key(hash)));
    if (!Number.isSafeInteger(pieces)) return undefined;
    const found = await inTurns(pieces, (index) => this.redis.getBuffer(this.pieceKey(hash, index)));
    const there = found.filter((piece) => piece !== null);
    return there.length === pieces ? whole(hash, Buffer.concat(there)) : undefined;
  }

  async missing(hashes: readonly string[]): Promise<string[]> {
    const lists = hashes.length === 0 ? [] : await this.redis.mget(hashes.map((hash) => this.key(hash)));
    const there: string[] = [];
    const gone: string[] = [];
    for (const [index, hash] of hashes.entries()) {
      const pieces = Number(lists[index] ?? Number.NaN);
      if (Number.isNaN(pieces)) gone.push(hash);
      else there.push(...this.keysOf(hash, pieces));
    }
    const renew = this.redis.pipeline();
    for (const key of there) renew.expire(key, keptSeconds);
    await renew.exec();
    return gone;
  }

  async drop(hashes: readonly string[]): Promise<void> {
    for (const hash of hashes) {
      const pieces = Number(await this.redis.get(this.key(hash)));
      await this.redis.del(this.keysOf(hash, pieces));
    }
  }

  private key(hash: string): string {
    return `${this.prefix}${hash}`;
  }

  private pieceKey(hash: string, index: number): string {
    return `${this.key(hash)}:${index}`;
  }

  private keysOf(hash: string, pieces: number): string[] {
    return [this.key(hash), ...Array.from({ length: pieces }, (_, index) => this.pieceKey(hash, index))];
  }
}

/** In a folder of one run below the shared one; a file has its name when it is whole. */
export class FolderBlobs implements BlobStore {
  private readonly folder: string;
  private puts = 0;

  constructor(shared: string, run: string) {
    this.folder = join(shared, run);
  }

  async put(hash: string, bytes: Uint8Array): Promise<void> {
    // Equal tensors have one hash, and may be put at the same time.
    const temporary = join(this.folder, `.tmp-${hash}-${process.pid}-${(this.puts += 1)}`);
    try {
      await mkdir(this.folder, { recursive: true });
      const file = await open(temporary, 'w');
      try {
        await file.writeFile(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, this.path(hash));
    } catch (cause) {
      throw diskError(cause, 'handing weights to the workers', this.folder, 'or choose another executor.weights');
    }
  }

  async get(hash: string): Promise<Uint8Array | undefined> {
    try {
      return whole(hash, await readFile(this.path(hash)));
    } catch (cause) {
      if (hasCode(cause, 'ENOENT')) return undefined;
      throw diskError(cause, 'reading weights', this.path(hash));
    }
  }

  async missing(hashes: readonly string[]): Promise<string[]> {
    const now = new Date();
    const gone: string[] = [];
    for (const hash of hashes) {
      try {
        await utimes(this.path(hash), now, now);
      } catch (cause) {
        if (!hasCode(cause, 'ENOENT')) throw diskError(cause, 'handing weights to the workers', this.folder);
        gone.push(hash);
      }
    }
    return gone;
  }

  async drop(hashes: readonly string[]): Promise<void> {
    for (const hash of hashes) await rm(this.path(hash), { force: true });
  }

  private path(hash: string): string {
    return join(this.folder, hash);
  }
}

/** Work on pieces 0 to `count` - 1, several at a time. */
async function inTurns<Value>(count: number, work: (index: number) => Promise<Value>): Promise<Value[]> {
  const values: Value[] = [];
  for (let start = 0; start < count; start += piecesAtOnce) {
    const some = Array.from({ length: Math.min(piecesAtOnce, count - start) }, (_, index) => work(start + index));
    values.push(...(await Promise.all(some)));
  }
  return values;
}

function whole(hash: string, bytes: Uint8Array): Uint8Array | undefined {
  return sha256(bytes) === hash ? bytes : undefined;
}
