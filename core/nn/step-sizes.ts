/**
 * How many rows a step computes: rows that are finished leave it, but every size is a program of its own, so there are few:
 * 8, 12, 16, 24, 32, 48, … and the most there can be.
 */
export function stepRows(active: number, most: number): number {
  for (let size = 8; size < most; size *= 2) {
    if (active <= size) return size;
    if (active <= size * 1.5 && size * 1.5 < most) return size * 1.5;
  }
  return most;
}
