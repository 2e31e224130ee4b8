/** Where the weights of a set lie: in which flat buffer, at which element, in how many parts. Shapes only; no device. */
import type { ParameterSpec } from '../contracts/backbone.ts';
import { ReasongenError, exitCodes } from '../errors.ts';
import { quantizedGroup } from '../tensor/quantized.ts';
import { elementBytes, sizeOf } from '../tensor/tensor.ts';

/** How a weight is kept on the device; everything is computed in f32. */
export type WeightStorage = 'f32' | 'f16' | 'bf16' | 'int8' | 'int4';

/** One storage for all matrices, or a choice per weight. */
export type StorageChoice = WeightStorage | ((spec: ParameterSpec) => WeightStorage);

/** Elements that share one entry of an arena's flags; every trained tensor starts at a multiple. */
export const blockSize = 64;

/** Bytes at whose multiples a tensor starts: what a binding needs, and a block of f32. */
const alignment = 256;

/** A range of rows of a weight, whole in one arena. A weight that the adapter can bind has one piece. */
export interface RowRange {
  readonly arena: number;
  /** In elements of the arena. */
  readonly offset: number;
  readonly firstRow: number;
  readonly rows: number;
  /** Of int8 and int4: where the words of scales lie. */
  readonly scales?: { readonly arena: number; readonly offset: number };
}

export interface WeightLocation {
  readonly spec: ParameterSpec;
  readonly type: WeightStorage;
  readonly trained: boolean;
  readonly pieces: readonly RowRange[];
}

export interface ArenaLayout {
  /** u32: scales of int8 and int4 weights. */
  readonly type: WeightStorage | 'u32';
  readonly trained: boolean;
  elements: number;
}

/**
 * How a weight is stored when `choice` is asked for. What is trained is f32: an update is often smaller than the distance of two
 * halves, and would be lost. So is what other ops than `linear` and `embedding` read. Rows that are no whole groups of codes become bf16.
 */
export function storedType(spec: ParameterSpec, choice: StorageChoice, trained = false): WeightStorage {
  const { shape } = spec;
  if (trained || spec.exact === true || shape.length !== 2) return 'f32';
  const storage = typeof choice === 'string' ? choice : choice(spec);
  const isQuantized = storage === 'int8' || storage === 'int4';
  return isQuantized && (shape[1] ?? 0) % quantizedGroup !== 0 ? 'bf16' : storage;
}

/** Bytes of a weight so stored, scales included, alignment not. */
export function deviceBytes(shape: readonly number[], type: WeightStorage): number {
  const scales = type === 'int8' || type === 'int4' ? sizeOf(shape) / quantizedGroup : 0;
  return sizeOf(shape) * elementBytes(type) + scales * 4;
}

/** `limit`: bytes of the largest binding. */
export function layOut(
  specs: readonly ParameterSpec[],
  choice: StorageChoice,
  isTrained: (name: string) => boolean,
  limit: number,
): { places: Map<string, WeightLocation>; layouts: ArenaLayout[] } {
  const places = new Map<string, WeightLocation>();
  const layouts: ArenaLayout[] = [];
  /** The arena that still grows, by kind. */
  const open = new Map<string, number>();
  const take = (type: ArenaLayout['type'], trained: boolean, count: number): { arena: number; offset: number } => {
    const width = elementBytes(type);
    const block = alignment / width;
    const elements = Math.ceil(count / block) * block;
    const kind = `${type} ${trained}`;
    let arena = open.get(kind);
    let layout = arena === undefined ? undefined : layouts[arena];
    if (arena === undefined || layout === undefined || (layout.elements + elements) * width > limit) {
      layout = { type, trained, elements: 0 };
      arena = layouts.push(layout) - 1;
      open.set(kind, arena);
    }
    const offset = layout.elements;
    layout.elements += elements;
    return { arena, offset };
  };
  for (const spec of specs) {
    if (places.has(spec.name)) throw new RangeError(`two parameters are named ${spec.name}`);
    const trained = isTrained(spec.name);
    const type = storedType(spec, choice, trained);
    const pieces = rowRanges(spec, type, limit).map(({ firstRow, rows }): RowRange => {
      const elements = spec.shape.length === 2 ? rows * (spec.shape[1] ?? 1) : sizeOf(spec.shape);
      const place = take(type, trained, elements);
      if (type !== 'int8' && type !== 'int4') return { ...place, firstRow, rows };
      return { ...place, firstRow, rows, scales: take('u32', false, elements / quantizedGroup) };
    });
    places.set(spec.name, { spec, type, trained, pieces });
  }
  return { places, layouts };
}

/** As few ranges of rows as the limit allows; only matrices can be divided. Ranges begin at multiples of 64 rows where they can: views of rows are bindings. */
function rowRanges(spec: ParameterSpec, type: WeightStorage, limit: number): { firstRow: number; rows: number }[] {
  const [rows = 1] = spec.shape;
  const bytes = Math.ceil((sizeOf(spec.shape) * elementBytes(type)) / alignment) * alignment;
  if (bytes <= limit) return [{ firstRow: 0, rows }];
  const fitting = Math.floor((Math.floor(limit / alignment) * alignment) / (bytes / rows));
  if (spec.shape.length !== 2 || spec.exact === true || fitting < 1) {
    throw new ReasongenError({
      code: 'BINDING_TOO_LARGE',
      message: `weight ${spec.name} [${spec.shape}] has ${bytes} bytes; this adapter binds at most ${limit}`,
      hint: 'use an adapter with a larger maxStorageBufferBindingSize, or a smaller model',
      exitCode: exitCodes.outOfMemory,
    });
  }
  const height = fitting >= 64 ? Math.floor(fitting / 64) * 64 : fitting;
  return Array.from({ length: Math.ceil(rows / height) }, (_, index) => ({
    firstRow: index * height,
    rows: Math.min(height, rows - index * height),
  }));
}
