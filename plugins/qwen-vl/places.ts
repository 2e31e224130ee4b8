/** Where vectors and patches of pictures stand: in the text, in windows, in the table of places. */
import type { PictureSpan } from '../../core/compute.ts';
import { patchPlaces, type Grid } from './pictures.ts';

/** Vectors stand still in time and count by row and column; what follows goes on behind the longer side. */
export function spanOf({ rows, columns }: Grid, merge: number): PictureSpan {
  const [height, width] = [rows / merge, columns / merge];
  const offsets = new Uint32Array(height * width * 3);
  for (let y = 0, next = 0; y < height; y++)
    for (let x = 0; x < width; x++, next += 3) {
      offsets[next + 1] = y;
      offsets[next + 2] = x;
    }
  return { vectors: height * width, offsets, extent: Math.max(height, width) };
}

/** The vectors of pictures sorted by windows: row by row, within each row by row; windows at the edges are smaller. */
export interface WindowOrder {
  /** Vectors of all pictures, in this order. */
  readonly index: readonly number[];
  /** Vectors of every window. */
  readonly sizes: readonly number[];
}

export function windowOrder(grids: readonly Grid[], merge: number, side: number): WindowOrder {
  const index: number[] = [];
  const sizes: number[] = [];
  let first = 0;
  for (const { rows, columns } of grids) {
    const [height, width] = [rows / merge, columns / merge];
    for (let top = 0; top < height; top += side)
      for (let left = 0; left < width; left += side) {
        const [bottom, right] = [Math.min(top + side, height), Math.min(left + side, width)];
        for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) index.push(first + y * width + x);
        sizes.push((bottom - top) * (right - left));
      }
    first += height * width;
  }
  return { index, sizes };
}

/** For every patch the four places of a square table around it, rows by rows, and the share of each: bilinear, corners on corners. */
export function tableNeighbors(grid: Grid, merge: number, side: number): { rows: number[]; shares: number[] } {
  const rows: number[] = [];
  const shares: number[] = [];
  const along = (index: number, count: number): [first: number, second: number, share: number] => {
    const source = count === 1 ? 0 : Math.fround((index * (side - 1)) / (count - 1));
    const first = Math.floor(source);
    return [first, Math.min(first + 1, side - 1), source - first];
  };
  for (const [row, column] of patchPlaces(grid, merge)) {
    const [top, bottom, down] = along(row, grid.rows);
    const [left, right, across] = along(column, grid.columns);
    rows.push(top * side + left, top * side + right, bottom * side + left, bottom * side + right);
    shares.push((1 - down) * (1 - across), (1 - down) * across, down * (1 - across), down * across);
  }
  return { rows, shares };
}
