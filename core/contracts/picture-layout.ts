import type { PromptItem } from './dataset.ts';

/** A picture of a folder, and which one of the benchmark it is. */
export interface LocatedPicture {
  /** Relative to the folder, with `/` between its parts. */
  readonly path: string;
  readonly index: number;
  readonly copy: number;
  /** What the folder itself says was asked for, where that is not what the benchmark has at this number. */
  readonly item?: PromptItem;
}

/** A folder as a layout sees it. */
export interface PictureFolder {
  /** Of all files, relative to the folder, with `/` between their parts, sorted. */
  readonly paths: readonly string[];
  /** The text of one of them. */
  readonly text: (path: string) => Promise<string>;
}

export interface PictureGrid {
  readonly rows: number;
  readonly columns: number;
  /** Side of a picture in pixels, where it is given. */
  readonly tile?: number;
}

/** Where the pictures of a benchmark lie: what `evaluate` and `generate` write, and what is read of folders that others made. */
export interface PictureLayout {
  /** Pictures of one prompt in one file, row by row; absent: a file each. */
  readonly grid?: PictureGrid;
  /** With a grid the same for all copies. */
  file(item: PromptItem, index: number, copy: number): string;
  /** Further files that belong to a prompt, by path. */
  beside?(item: PromptItem, index: number): Readonly<Record<string, string>>;
  /** The pictures of a folder; absent: those that `file` names. A grid is located once, as copy 0. */
  locate?(folder: PictureFolder, items: readonly PromptItem[]): Promise<readonly LocatedPicture[]>;
}
