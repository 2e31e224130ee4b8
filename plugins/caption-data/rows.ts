/** Rows of captioned pictures in files, read block by block: what every format of file has to offer. */
import type { FileHandle } from 'node:fs/promises';
import { hasCode } from '../../core/plugin.ts';

export type Row = Readonly<Record<string, unknown>>;

/** A row that cannot be read, and why. */
export class UnreadableRow {
  readonly why: string;

  constructor(why: string) {
    this.why = why;
  }
}

/** Rows of a block. A format that can find a row by itself reads it when it is asked for, so that memory holds rows and no blocks. */
export interface Block {
  row(index: number): Promise<Row | UnreadableRow>;
}

export interface RowFile {
  /** For messages. */
  readonly path: string;
  /** Rows of each block, in order. */
  readonly blocks: readonly number[];
  read(block: number): Promise<Block>;
  close(): Promise<void>;
}

/** Rows of a file that has no blocks of its own are visited so many together. */
export const rowsPerBlock = 128;

/** The longest row, member or picture in bytes that is read: what is longer is damaged or no picture. */
export const longestPiece = 256 * 2 ** 20;

/** Sizes of blocks that hold `count` rows. */
export function evenBlocks(count: number): number[] {
  return Array.from({ length: Math.ceil(count / rowsPerBlock) }, (_, index) =>
    Math.min(rowsPerBlock, count - index * rowsPerBlock),
  );
}

/** `size` bytes from `offset` on. RangeError when the file ends before. */
export async function readPiece(handle: FileHandle, offset: number, size: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(size);
  for (let done = 0; done < size;) {
    const { bytesRead } = await handle.read(bytes, done, size - done, offset + done);
    if (bytesRead === 0) throw new RangeError('the file ends before it');
    done += bytesRead;
  }
  return bytes;
}

const codesOfMachines = [
  'EIO',
  'EMFILE',
  'ENFILE',
  'ENOMEM',
  'EAGAIN',
  'EBUSY',
  'ENODEV',
  'ENXIO',
  'ESTALE',
  'ETIMEDOUT',
];

/** Whether it is the machine that cannot read now, not the row that is bad: a run that passed it over would be another one, and nobody would know. */
export function isOfMachine(error: unknown): boolean {
  return hasCode(error, ...codesOfMachines);
}
