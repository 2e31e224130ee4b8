/**
 * Codes of pictures that have been encoded once, in memory or on disk for the next run as well: one file per codec, records of one size
 * that are only ever appended. A record that was cut off or damaged does not count.
 */
import { closeSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { ImageTokenizer } from '../../contracts/image-tokenizer.ts';
import { diskError } from '../../io/disk.ts';
import { mkdirSync, openSync, writeSync } from '../../io/files.ts';

const keyBytes = 32;
const sumBytes = 4;

/** Records looked at together when a file is opened. */
const recordsAtOnce = 4096;

export class CodeStore {
  /** Codes that are kept in memory, by any key. */
  private readonly inMemory = new Map<string, readonly number[]>();
  /** Byte of the record of each picture on disk. */
  private readonly onDisk = new Map<string, number>();
  private readonly count: number;
  private readonly width: 2 | 4;
  private readonly path: string | undefined;
  private readonly file: number | undefined;
  private end = 0;

  /** `folder`: where the files of all codecs lie; without one nothing is kept on disk. */
  constructor({ grid, hash, vocabularySize }: ImageTokenizer, folder?: string) {
    this.count = grid.rows * grid.columns;
    this.width = vocabularySize <= 2 ** 16 ? 2 : 4;
    if (folder === undefined) return;
    this.path = join(folder, `${hash.slice(0, 32).replaceAll(/[^\w-]/g, '_')}.codes`);
    this.file = this.attempt('opening', () => {
      mkdirSync(folder, { recursive: true });
      return openSync(this.path ?? '', 'a+');
    });
    this.attempt('reading', () => this.index());
  }

  get(key: string): readonly number[] | undefined {
    const at = this.onDisk.get(key);
    const { file } = this;
    if (at === undefined || file === undefined) return this.inMemory.get(key);
    const record = Buffer.alloc(this.recordBytes);
    this.attempt('reading', () => readSync(file, record, 0, record.length, at));
    return this.isWhole(record) ? this.codesOf(record) : undefined;
  }

  /** A `key` that is a sha256 in hexadecimal is kept on disk, where there is a folder. */
  set(key: string, codes: readonly number[]): void {
    const { file } = this;
    if (file === undefined || !/^[0-9a-f]{64}$/.test(key) || codes.length !== this.count) {
      this.inMemory.set(key, codes);
      return;
    }
    const record = Buffer.alloc(this.recordBytes);
    record.write(key, 0, 'hex');
    codes.forEach((code, index) => record.writeUIntLE(code, keyBytes + this.width * index, this.width));
    record.writeUInt32LE(crc32(record.subarray(0, -sumBytes)), record.length - sumBytes);
    this.attempt('writing', () => writeSync(file, record));
    // Another process may append to the same file: where the record lies is known when the file is opened again.
    this.inMemory.set(key, codes);
  }

  close(): void {
    if (this.file !== undefined) closeSync(this.file);
  }

  private get recordBytes(): number {
    return keyBytes + this.width * this.count + sumBytes;
  }

  private index(): void {
    const size = this.recordBytes;
    const { file } = this;
    if (file === undefined) return;
    const piece = Buffer.alloc(size * recordsAtOnce);
    for (;;) {
      const read = readSync(file, piece, 0, piece.length, this.end);
      let at = 0;
      while (at + size <= read) {
        const record = piece.subarray(at, at + size);
        const whole = this.isWhole(record);
        if (whole) this.onDisk.set(record.toString('hex', 0, keyBytes), this.end + at);
        // A process killed while it wrote leaves part of a record: the next whole one begins somewhere behind it.
        at += whole ? size : 1;
      }
      this.end += at;
      if (at === 0) return;
    }
  }

  private isWhole(record: Buffer): boolean {
    return crc32(record.subarray(0, -sumBytes)) === record.readUInt32LE(record.length - sumBytes);
  }

  private codesOf(record: Buffer): number[] {
    return Array.from({ length: this.count }, (_, index) =>
      record.readUIntLE(keyBytes + this.width * index, this.width),
    );
  }

  private attempt<Result>(doing: string, work: () => Result): Result {
    try {
      return work();
    } catch (cause) {
      throw diskError(cause, `${doing} image codes`, this.path ?? '', 'or set recipe.keepCodes to false');
    }
  }
}
