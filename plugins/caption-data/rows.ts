/** Rows of captioned pictures in files, read block by block: what every format of file has to offer. */
export type Row = Readonly<Record<string, unknown>>;

/** A row that cannot be read, and why. */
export class UnreadableRow {
  readonly why: string;

  constructor(why: string) {
    this.why = why;
  }
}

export interface RowFile {
  /** For messages. */
  readonly path: string;
  /** Rows of each block, in order. */
  readonly blocks: readonly number[];
  /** The rows of a block. */
  read(block: number): Promise<readonly (Row | UnreadableRow)[]>;
  close(): Promise<void>;
}

/** Rows of a file that has no blocks of its own are read so many at once. */
export const rowsPerBlock = 128;

/** Sizes of blocks that hold `count` rows. */
export function evenBlocks(count: number): number[] {
  return Array.from({ length: Math.ceil(count / rowsPerBlock) }, (_, index) =>
    Math.min(rowsPerBlock, count - index * rowsPerBlock),
  );
}
