/** How kernels read the rows of a tensor: in vectors of four, or value by value where a row is no whole number of vectors. */
export interface RowVectors {
  /** Values of a cell. */
  readonly size: 4 | 1;
  /** Cells of a row. */
  readonly width: number;
  /** Replaces `alias Cell` of a kernel; nothing for vectors, which its file declares. */
  readonly alias: Readonly<Record<string, string>>;
  /** The same with `const CELL`, for kernels that count or add values. */
  readonly constants: Readonly<Record<string, string | number>>;
}

export function rowVectors(columns: number): RowVectors {
  if (columns % 4 === 0) return { size: 4, width: columns / 4, alias: {}, constants: {} };
  return { size: 1, width: columns, alias: { Cell: 'f32' }, constants: { Cell: 'f32', CELL: 1 } };
}
