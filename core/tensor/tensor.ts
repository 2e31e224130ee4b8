/**
 * A tensor is a shape over bytes: either a range of a GPU buffer that somebody owns, or a slot that a program
 * will place in memory when it is finished. It has no methods that compute; ops do.
 */
export type ElementType = 'f32' | 'u32' | PackedType;

/**
 * Weights in fewer bits, packed into 32-bit words; only `linear` and `embedding` read them, and compute in f32. `bf16` is the upper
 * half of an f32. `int8` and `int4` are unsigned codes in groups along a row, each with a scale and a minimum of its own.
 */
export type PackedType = 'f16' | 'bf16' | 'int8' | 'int4';

export interface TapeValue {
  readonly id: number;
  readonly bytes: number;
  /** Such that rounding it would spoil much: it stays in f32 where activations are kept in f16. */
  exact?: true;
}

export interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: ElementType;
  /** Where the bytes are: a range of a buffer, or a slot of the tape that made it. */
  readonly memory: { readonly buffer: GPUBuffer; readonly offset: number } | { readonly value: TapeValue };
  /**
   * A weight larger than the adapter binds: its rows in order, range by range, each a tensor that can be bound. `memory` is then
   * that of the first one. Only `linear`, `embedding` and `weightRows` know parts; every other kernel refuses them.
   */
  readonly shards?: readonly Tensor[];
  /** Of an int8 or int4 matrix: u32 [rows, groups], bf16 scale in the lower and bf16 minimum in the upper half. */
  readonly scales?: Tensor;
  /** What `linear` adds to the product with this weight. */
  readonly adapter?: Adapter;
}

/** A low-rank addition to a weight [out, in] (LoRA, Hu et al. 2021): weight + scale · up · down, never multiplied out. */
export interface Adapter {
  /** f32 [rank, in] */
  readonly down: Tensor;
  /** f32 [out, rank] */
  readonly up: Tensor;
  readonly scale: number;
  /** Share of the adapter's inputs that a training step leaves out; the seed (u32 [1]) changes from step to step, the key per layer. */
  readonly dropout?: { readonly share: number; readonly seed: Tensor; readonly key: number };
}

/** How many elements a tensor of this shape has. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** Half a byte for int4. */
export function elementBytes(type: ElementType): number {
  return elementBits[type] / 8;
}

const elementBits: Readonly<Record<ElementType, number>> = { f32: 32, u32: 32, f16: 16, bf16: 16, int8: 8, int4: 4 };

/** True for types that kernels which declare floats would read as nonsense. */
export function isPacked(type: ElementType): type is PackedType {
  return elementBits[type] < 32;
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
  if (tensor.shards !== undefined || tensor.adapter !== undefined)
    throw new RangeError(`${tensor.name} [${tensor.shape}] has parts or an adapter and keeps its shape`);
  return { ...tensor, shape };
}

/** Rows `first` … of a tensor that lives in a buffer, without a copy. */
export function rowsOf(tensor: Tensor, count: number, first = 0): Tensor {
  const { shape, type, memory } = tensor;
  if (!('buffer' in memory)) throw new RangeError(`${tensor.name} has no buffer of its own`);
  const offset = memory.offset + first * sizeOf(shape.slice(1)) * elementBytes(type);
  return { ...tensor, shape: [count, ...shape.slice(1)], memory: { buffer: memory.buffer, offset } };
}
