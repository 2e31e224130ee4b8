/**
 * A tensor is a shape over bytes: either a range of a GPU buffer that somebody owns, or a slot that a program
 * will place in memory when it is finished. It has no methods that compute; ops do.
 */
export type ElementType = 'f32' | 'u32' | 'f16';

export interface Slot {
  readonly id: number;
  readonly bytes: number;
}

export interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: ElementType;
  /** Where the bytes are: a range of a buffer, or a slot of the tape that made it. */
  readonly memory: { readonly buffer: GPUBuffer; readonly offset: number } | { readonly slot: Slot };
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

export function elementBytes(type: ElementType): number {
  return type === 'f16' ? 2 : 4;
}

/** Bytes of the elements, rounded up to 16 so that every tensor can be read as `vec4`. */
export function byteLength(shape: readonly number[], type: ElementType): number {
  return Math.max(16, Math.ceil((sizeOf(shape) * elementBytes(type)) / 16) * 16);
}

/** Length of dimension `axis`; negative counts from the end. */
export function dimension(tensor: Tensor, axis: number): number {
  const value = tensor.shape.at(axis);
  if (value === undefined) throw new RangeError(`${tensor.name} [${tensor.shape}] has no dimension ${axis}`);
  return value;
}

/** The same bytes under another shape of equal size. */
export function reshape(tensor: Tensor, shape: readonly number[]): Tensor {
  if (sizeOf(shape) !== sizeOf(tensor.shape)) {
    throw new RangeError(`${tensor.name} [${tensor.shape}] cannot be seen as [${shape}]`);
  }
  return { ...tensor, shape };
}
