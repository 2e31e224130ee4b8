/** Tensors whose elements do not lie row by row: transposed, sliced or expanded views that were saved as they were. */
import type { FilePieces } from './file-pieces.ts';
import { at } from '../../tensor/at.ts';

export interface Strided {
  /** In elements. */
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** Row-major without gaps. Axes of one element may have any stride. */
export function isContiguous({ shape, strides }: Strided): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const n = at(shape, axis);
    if (n === 0) return true;
    if (n !== 1 && strides[axis] !== expected) return false;
    expected *= n;
  }
  return true;
}

/** The elements of the storage between the tensor's first and last one. */
export function span({ offset, shape, strides }: Strided): { begin: number; elements: number } {
  const last = shape.reduce((sum, n, axis) => sum + (n - 1) * at(strides, axis), 0);
  return { begin: offset, elements: shape.includes(0) ? 0 : last + 1 };
}

/** Gathers elements in row-major order. Keeps the bytes of the last tensor, since its pieces are asked for one after the other. */
export class StridedReader {
  private readonly file: FilePieces;
  private kept: { readonly tensor: Strided; readonly bytes: Uint8Array } | undefined;

  constructor(file: FilePieces) {
    this.file = file;
  }

  /** Bytes of elements [first, first + count) of a tensor whose span lies at [begin, begin + length) of the file. */
  async read(
    tensor: Strided,
    begin: number,
    length: number,
    width: number,
    first: number,
    count: number,
  ): Promise<Uint8Array> {
    if (this.kept?.tensor !== tensor) {
      // Given up first: two large tensors at once would break the bound on host memory.
      this.kept = undefined;
      this.kept = { tensor, bytes: await this.file.read(begin, length) };
    }
    return gather(this.kept.bytes, tensor, width, first, count);
  }

  forget(): void {
    this.kept = undefined;
  }
}

function gather(
  bytes: Uint8Array,
  { shape, strides }: Strided,
  width: number,
  first: number,
  count: number,
): Uint8Array {
  const result = new Uint8Array(count * width);
  const index = shape.map(() => 0);
  let rest = first;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const n = shape[axis] ?? 1;
    index[axis] = rest % n;
    rest = Math.floor(rest / n);
  }
  let from = index.reduce((sum, i, axis) => sum + i * at(strides, axis), 0);
  for (let to = 0; to < count; to++) {
    for (let byte = 0; byte < width; byte++) result[to * width + byte] = at(bytes, from * width + byte);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const next = at(index, axis) + 1;
      from += at(strides, axis);
      index[axis] = next;
      if (next < (shape[axis] ?? 1)) break;
      from -= next * at(strides, axis);
      index[axis] = 0;
    }
  }
  return result;
}
