/**
 * The order in which rows of many files are visited. Every epoch shuffles the blocks, takes as many of them together as hold `window`
 * rows, and shuffles the rows of each such window: nearly a full shuffle, while each block is read once in an epoch. A pure function of
 * seed and position, so that a position is all that a resume needs.
 */

/** A row: which file, which block of it, which row of that. */
export interface RowAddress {
  readonly file: number;
  readonly block: number;
  readonly row: number;
}

interface Block {
  readonly file: number;
  readonly block: number;
  /** Those of its rows that are visited. */
  readonly rows: readonly number[];
}

interface Window {
  /** Position of its first row within the epoch. */
  readonly first: number;
  readonly blocks: readonly Block[];
}

export class RowOrder {
  readonly rows: number;
  private readonly blocks: readonly Block[];
  private readonly window: number;
  private readonly shuffles: boolean;
  private epoch: { readonly key: string; readonly windows: readonly Window[] } | undefined;
  private shuffled: { readonly key: string; readonly addresses: readonly RowAddress[] } | undefined;

  /** `files`: rows of each block of each file. A window of 0 rows keeps the order of the files. `isVisited`: which rows count, by their number in the file. */
  constructor(
    files: readonly (readonly number[])[],
    window: number,
    isVisited: (file: number, row: number) => boolean = () => true,
  ) {
    this.blocks = files.flatMap((blocks, file) => {
      let first = 0;
      return blocks.map((count, block): Block => {
        const rows = Array.from({ length: count }, (_, row) => row).filter((row) => isVisited(file, first + row));
        first += count;
        return { file, block, rows };
      });
    });
    this.rows = this.blocks.reduce((sum, { rows }) => sum + rows.length, 0);
    this.window = Math.max(1, window);
    this.shuffles = window > 0;
  }

  /** The row at a position of the endless stream: epoch after epoch, each row once in each. */
  at(position: number, seed: number): RowAddress {
    const number = Math.floor(position / this.rows);
    const within = position % this.rows;
    const windows = this.windows(number, seed);
    const index = lastBefore(windows, within);
    const window = windows[index];
    const address =
      window === undefined
        ? undefined
        : this.addresses(window, `${seed} ${number} ${index}`, [seed, number, index + 1])[within - window.first];
    if (address === undefined) throw new RangeError(`no row at position ${position}`);
    return address;
  }

  /** Blocks of one window at most: what a reader should keep. */
  blocksAtOnce(seed: number): number {
    return Math.max(1, ...this.windows(0, seed).map(({ blocks }) => blocks.length));
  }

  private windows(number: number, seed: number): readonly Window[] {
    const key = `${seed} ${number}`;
    if (this.epoch?.key === key) return this.epoch.windows;
    const order = this.shuffles ? shuffle(this.blocks, [seed, number, 0]) : this.blocks;
    const windows: { first: number; rows: number; blocks: Block[] }[] = [];
    for (const block of order) {
      const last = windows.at(-1);
      if (last !== undefined && last.rows < this.window) {
        last.blocks.push(block);
        last.rows += block.rows.length;
      } else windows.push({ first: (last?.first ?? 0) + (last?.rows ?? 0), rows: block.rows.length, blocks: [block] });
    }
    this.epoch = { key, windows };
    return windows;
  }

  private addresses(window: Window, key: string, seeds: readonly number[]): readonly RowAddress[] {
    if (this.shuffled?.key === key) return this.shuffled.addresses;
    const all = window.blocks.flatMap(({ file, block, rows }) => rows.map((row) => ({ file, block, row })));
    const addresses = this.shuffles ? shuffle(all, seeds) : all;
    this.shuffled = { key, addresses };
    return addresses;
  }
}

/** Index of the last window that begins at or before `position`. */
function lastBefore(windows: readonly Window[], position: number): number {
  let [low, high] = [0, windows.length - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((windows[middle]?.first ?? 0) <= position) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Fisher and Yates, a copy. */
export function shuffle<Item>(items: readonly Item[], seeds: readonly number[]): Item[] {
  const random = uniformStream(seeds);
  const result = [...items];
  for (let last = result.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [result[last], result[other]] = [result[other] as Item, result[last] as Item];
  }
  return result;
}

/** Uniform numbers in [0, 1): splitmix32, keyed by several numbers. */
export function uniformStream(seeds: readonly number[]): () => number {
  let state = 0x6a09e667;
  const next = (): number => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  };
  for (const seed of seeds) state = (Math.imul(next() ^ (seed >>> 0), 0x85ebca6b) + Math.floor(seed / 2 ** 32)) >>> 0;
  return () => next() / 2 ** 32;
}
