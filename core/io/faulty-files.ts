/** The file system with faults in it (`core/faults.ts`): what `files.ts` is in a process that is to have one. */
import * as nodeSync from 'node:fs';
import nodeFiles from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { dirname } from 'node:path';
import type { FaultPoint, Faults } from '../faults.ts';

type AnyFunction = (...values: never[]) => unknown;
type Sync = typeof nodeSync;
type Async = typeof nodeFiles;

export class FaultyFiles {
  private readonly faults: Faults;
  /** Bytes of each file that a flush has made safe; only files written to since. */
  private readonly safe = new Map<string, number>();
  /** Files whose names nothing has made safe: POSIX promises them only once their folders are flushed. */
  private created: string[] = [];
  /** Renames in folders that were not flushed since. */
  private renames: { readonly from: string; readonly to: string; readonly replaced: Buffer | undefined }[] = [];
  private readonly paths = new Map<number, string>();

  constructor(faults: Faults) {
    this.faults = faults;
    faults.onLoss(
      () => this.losePower(),
      () => {
        this.safe.clear();
        this.created = [];
        this.renames = [];
      },
    );
  }

  private losePower(): void {
    for (const { from, to, replaced } of this.renames.toReversed()) {
      if (!nodeSync.existsSync(to) || nodeSync.existsSync(from)) continue;
      nodeSync.renameSync(to, from);
      if (replaced !== undefined) nodeSync.writeFileSync(to, replaced);
    }
    for (const [path, bytes] of this.safe) if (nodeSync.existsSync(path)) nodeSync.truncateSync(path, bytes);
    for (const path of this.created) nodeSync.rmSync(path, { force: true });
  }

  private wrote(path: string, before: number): void {
    if (!this.safe.has(path)) this.safe.set(path, before);
  }

  /** Called before a file is written to that may not be there yet. */
  private makes(path: string): void {
    if (!nodeSync.existsSync(path)) this.created.push(path);
  }

  private flushed(path: string): void {
    this.safe.delete(path);
    this.created = this.created.filter((each) => dirname(each) !== path);
    this.renames = this.renames.filter(({ to }) => dirname(to) !== path);
  }

  private async rename(from: string, to: string): Promise<void> {
    this.faults.pass('rename');
    if (this.faults.isForgotten('rename')) return;
    const isFile = nodeSync.statSync(to, { throwIfNoEntry: false })?.isFile() === true;
    const replaced = isFile ? nodeSync.readFileSync(to) : undefined;
    await nodeFiles.rename(from, to);
    this.renames.push({ from, to, replaced });
    const isMoved = (path: string): boolean => path === from || path.startsWith(`${from}/`);
    for (const [path, bytes] of this.safe) {
      if (!isMoved(path)) continue;
      this.safe.delete(path);
      this.safe.set(to + path.slice(from.length), bytes);
    }
    // The name of a file itself is now that of the rename.
    this.created = this.created
      .filter((path) => path !== from)
      .map((path) => (isMoved(path) ? to + path.slice(from.length) : path));
  }

  private gate<Call extends AnyFunction>(point: FaultPoint, call: Call): Call {
    return (async (...values: Parameters<Call>) => {
      this.faults.pass(point);
      return this.faults.isForgotten(point) ? undefined : call(...values);
    }) as unknown as Call;
  }

  /** Writes a whole file: half of it where the process ends meanwhile. */
  private readonly writeFile = async (
    path: string,
    content: string | Uint8Array,
    options?: { readonly flag?: string },
  ): Promise<void> => {
    const bytes = Buffer.from(content);
    const half = (): void => nodeSync.writeFileSync(path, bytes.subarray(0, bytes.length >> 1), options);
    const kind = this.faults.pass('write', half);
    this.makes(path);
    this.wrote(path, sizeOf(path));
    // A short write is one that Node goes on with by itself.
    await nodeFiles.writeFile(path, kind === 'flip' ? flipped(bytes) : bytes, options);
  };

  /** Half of it is added where the process ends meanwhile. */
  private readonly appendFile = async (path: string, content: string | Uint8Array): Promise<void> => {
    const bytes = Buffer.from(content);
    const before = sizeOf(path);
    // A short append is one that Node goes on with by itself.
    this.faults.pass('append', () => {
      this.wrote(path, before);
      nodeSync.appendFileSync(path, bytes.subarray(0, Math.ceil(bytes.length / 2)));
    });
    if (this.faults.isForgotten('append')) return;
    this.makes(path);
    this.wrote(path, before);
    await nodeFiles.appendFile(path, bytes);
  };

  private async open(...values: Parameters<Async['open']>): ReturnType<Async['open']> {
    this.faults.pass('open');
    const path = String(values[0]);
    this.makes(path);
    const file = await nodeFiles.open(...values);
    const write = file.write.bind(file) as (...parts: unknown[]) => Promise<{ bytesWritten: number }>;
    const sync = file.sync.bind(file);
    return Object.assign(file, {
      write: async (chunk: Uint8Array, offset = 0, length = chunk.byteLength - offset, at: number | null = null) => {
        const half = Math.max(1, length >> 1);
        const before = sizeOf(path);
        const kind = this.faults.pass('write', () => {
          this.wrote(path, before);
          nodeSync.writeSync(file.fd, chunk, offset, half, at);
        });
        this.wrote(path, before);
        return write(kind === 'flip' ? flipped(chunk) : chunk, offset, kind === 'short' ? half : length, at);
      },
      sync: async () => {
        this.faults.pass('flush');
        if (this.faults.isForgotten('flush')) return;
        await sync();
        this.flushed(path);
      },
    }) as never;
  }

  get files(): Async {
    return {
      ...nodeFiles,
      open: (...values: Parameters<Async['open']>) => this.open(...values),
      mkdir: this.gate('mkdir', nodeFiles.mkdir),
      rename: ((from: string, to: string) => this.rename(from, to)) as Async['rename'],
      rm: this.gate('remove', nodeFiles.rm),
      rmdir: this.gate('remove', nodeFiles.rmdir),
      link: this.gate('link', nodeFiles.link),
      symlink: this.gate('link', nodeFiles.symlink),
      copyFile: this.gate('copy', (async (from: string, to: string) => {
        this.makes(to);
        this.wrote(to, sizeOf(to));
        await nodeFiles.copyFile(from, to);
      }) as Async['copyFile']),
      writeFile: this.writeFile as Async['writeFile'],
      appendFile: this.appendFile as Async['appendFile'],
    };
  }

  get filesSync(): Sync {
    const { faults, paths } = this;
    const passing = <Call extends AnyFunction>(point: FaultPoint, call: Call): Call =>
      ((...values: Parameters<Call>) => {
        faults.pass(point);
        return call(...values);
      }) as Call;
    return {
      ...nodeSync,
      openSync: (path, ...rest) => {
        faults.pass('open');
        this.makes(String(path));
        const file = nodeSync.openSync(path, ...rest);
        paths.set(file, String(path));
        return file;
      },
      writeSync: ((file: number, bytes: Uint8Array, offset: number = 0) => {
        const path = paths.get(file) ?? '';
        const length = bytes.byteLength - offset;
        const half = Math.max(1, length >> 1);
        this.wrote(path, sizeOf(path));
        const kind = faults.pass('append', () => nodeSync.writeSync(file, bytes, offset, half));
        return nodeSync.writeSync(file, bytes, offset, kind === 'short' ? half : length);
      }) as unknown as Sync['writeSync'],
      fdatasyncSync: (file) => {
        faults.pass('flush');
        if (faults.isForgotten('flush')) return;
        nodeSync.fdatasyncSync(file);
        this.flushed(paths.get(file) ?? '');
      },
      ftruncateSync: passing('truncate', nodeSync.ftruncateSync),
      appendFileSync: passing('append', nodeSync.appendFileSync),
      mkdirSync: passing('mkdir', nodeSync.mkdirSync as AnyFunction) as Sync['mkdirSync'],
      rmSync: passing('remove', nodeSync.rmSync),
    };
  }
}

/**
 * Lets what is read meet faults, too, by whomever: data sets, pictures, weights, records. Plugins read files by Node's own functions, so these
 * are what is changed.
 */
export function makeReadsFaulty(faults: Faults): void {
  const { open, readFile } = nodeFiles;
  const faultyOpen = async (...values: Parameters<Async['open']>): ReturnType<Async['open']> => {
    const file = await open(...values);
    const [, flags = 'r'] = values;
    if (flags !== 'r') return file;
    const read = file.read.bind(file) as (...parts: unknown[]) => Promise<{ bytesRead: number }>;
    return Object.assign(file, {
      read: async (bytes: Uint8Array, offset = 0, length = bytes.byteLength - offset, at: number | null = null) =>
        read(bytes, offset, faults.pass('read') === 'short' ? Math.ceil(length / 2) : length, at),
    }) as never;
  };
  Object.assign(nodeFiles, {
    open: faultyOpen,
    readFile: async (...values: Parameters<Async['readFile']>) => {
      // Half of a file is something that Node goes on with by itself.
      faults.pass('read');
      return readFile(...values);
    },
  });
  syncBuiltinESMExports();
}

function sizeOf(path: string): number {
  return nodeSync.statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** With one bit in the middle turned. */
function flipped(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  const middle = copy.length >> 1;
  copy[middle] = (copy[middle] ?? 0) ^ 1;
  return copy;
}
