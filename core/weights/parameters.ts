/**
 * The weights of a model as a few large flat buffers ("arenas") with every tensor a range of one. Values, gradients and
 * optimizer state share one layout, so that the optimizer, the gradient norm, checkpoints and averages are single launches
 * or copies over whole arenas. An arena never exceeds what the adapter binds, and what is trained lies in arenas of its own.
 * Matrices that are not trained may be stored in fewer bits (`storage`); one that is larger than a binding lies in parts.
 */
import type { ParameterSpec, Weights } from '../contracts/backbone.ts';
import type { WeightSource } from '../contracts/weight-source.ts';
import type { Device } from '../gpu/device.ts';
import { elementBytes, sizeOf, type Tensor } from '../tensor/tensor.ts';
import { quantizedGroup } from '../tensor/quantized.ts';
import { fillOnDevice } from './device-fill.ts';
import { initialValues } from './initial-values.ts';
import {
  blockSize,
  layOut,
  type ArenaLayout,
  type RowRange,
  type WeightLocation,
  type StorageChoice,
} from './layout.ts';
import { readFloats, sourceOf } from './reading.ts';
import type { Tape } from '../autograd/tape.ts';
import { WeightEncoder } from './encoding.ts';
import {
  checkLoaded,
  loadWeights,
  misfits,
  refuseMisfits,
  writeRange,
  type LoadWeightsOptions,
  type LoadReport,
  type StoredRange,
} from './loading.ts';

export { blockSize, deviceBytes as storedBytes, storedType, type StorageChoice, type WeightStorage } from './layout.ts';
export type { LoadWeightsOptions as LoadOptions, LoadReport } from './loading.ts';

export const flagTrainable = 1;
export const flagDecay = 2;

export interface Arena {
  /** [elements], of one type; what is trained is f32. Codes have their scales in arenas of u32. */
  readonly values: Tensor;
  /** f32 [elements]; absent when nothing in the arena is trained. */
  readonly gradients: Tensor | undefined;
  /** u32 [elements / blockSize]: flagTrainable, flagDecay; a single 0 when nothing in the arena is trained. */
  readonly flags: Tensor;
  readonly elements: number;
}

export interface ParameterOptions {
  readonly seed: number;
  /** Which parameters are trained; none by default. */
  readonly trainable?: (name: string) => boolean;
  /** How matrices that are not trained are kept; f32 by default. */
  readonly storage?: StorageChoice;
  /** Bytes of the largest binding, to stay below the adapter's. */
  readonly bindingLimit?: number;
}

export interface InitializeOptions extends ParameterOptions {
  /**
   * Where first values come from: the host, one weight at a time (default); nowhere, all zero, for weights that are loaded next; or a
   * kernel, which needs no host memory and draws other values from the same seed (`ParameterSet.open` only).
   */
  readonly initialize?: 'host' | 'none' | 'device';
}

export type FloatTensor = { readonly shape: readonly number[]; readonly data: Float32Array };

/** Elements of first values or of a loaded map that are converted at a time. */
const hostPiece = 2 ** 22;

/** The weights of a model on a device, by name, with gradients where they are trained; given first values unless told otherwise. */
export class ParameterSet implements Weights {
  readonly device: Device;
  readonly arenas: readonly Arena[];
  private readonly places: ReadonlyMap<string, WeightLocation>;

  constructor(
    device: Device,
    specs: readonly ParameterSpec[],
    options: ParameterOptions & { readonly initialize?: 'host' | 'none' },
  ) {
    this.device = device;
    const limit = Math.min(
      options.bindingLimit ?? Number.POSITIVE_INFINITY,
      device.limits.maxStorageBufferBindingSize,
      device.limits.maxBufferSize,
    );
    const { places, layouts } = layOut(specs, options.storage ?? 'f32', options.trainable ?? (() => false), limit);
    this.places = places;
    for (const [name, { pieces }] of places) if (pieces.length > 1) device.noteParts(name, pieces.length);
    this.arenas = layouts.map((layout, index) => this.createArena(layout, index));
    if (options.initialize !== 'none' && !device.isPlanning) this.initialize(options.seed);
  }

  /** Also with first values made on the device. */
  static async open(
    device: Device,
    specs: readonly ParameterSpec[],
    options: InitializeOptions,
  ): Promise<ParameterSet> {
    const { initialize = 'host', ...rest } = options;
    const set = new ParameterSet(device, specs, { ...rest, initialize: initialize === 'host' ? 'host' : 'none' });
    if (initialize === 'device' && !device.isPlanning) {
      await fillOnDevice(set, options.seed);
      // Given values are few, and lie on the host already.
      set.initialize(options.seed, ({ init }) => 'values' in init);
    }
    return set;
  }

  get names(): string[] {
    return [...this.places.keys()];
  }

  get elements(): number {
    return [...this.places.values()].reduce((sum, { spec }) => sum + sizeOf(spec.shape), 0);
  }

  /** Bytes of values and scales on the device. */
  get bytes(): number {
    return this.arenas.reduce((sum, { values }) => sum + sizeOf(values.shape) * elementBytes(values.type), 0);
  }

  get(name: string): Tensor {
    const place = this.place(name);
    return this.view(place, name, ({ arena }) => this.arena(arena).values);
  }

  gradient(name: string): Tensor | undefined {
    const place = this.place(name);
    return place.trained ? this.view(place, `d ${name}`, ({ arena }) => this.arena(arena).gradients) : undefined;
  }

  isTrained(name: string): boolean {
    return this.place(name).trained;
  }

  moves(name: string): boolean {
    return this.isTrained(name);
  }

  spec(name: string): ParameterSpec {
    return this.place(name).spec;
  }

  /** Asks the tape for the gradients of everything trained. */
  watch(tape: Tape): void {
    for (const name of this.names) {
      const gradient = this.gradient(name);
      if (gradient === undefined) continue;
      const value = this.get(name);
      (value.shards ?? [value]).forEach((part, index) => tape.watch(part, gradient.shards?.[index] ?? gradient));
    }
  }

  /**
   * Reads weights from a source, piece by piece, into the form they are stored in. A missing, unexpected or mis-shaped tensor is
   * reported together with all others before anything is written. A value that may not be lost (`options`) stops the loading where
   * it is found: the set then holds part of the new weights and is of no use.
   */
  loadFrom(source: WeightSource, options: LoadWeightsOptions = {}): Promise<LoadReport> {
    return loadWeights(
      { device: this.device, places: this.places, ranges: (place) => this.ranges(place) },
      source,
      options,
    );
  }

  /** Throws CHECKPOINT_SHAPE when a source has not every tensor in its shape, or others. Reads nothing of it. */
  refuseOtherShapes({ entries, origin }: WeightSource): void {
    refuseMisfits(
      misfits(this.places, entries, () => true),
      origin,
    );
  }

  /** Writes host values of a small model, all or none: nothing is written when anything is wrong. */
  load(values: ReadonlyMap<string, FloatTensor>, origin: string): void {
    refuseMisfits(
      misfits(this.places, values, () => true),
      origin,
    );
    const encoder = this.hostEncoder();
    for (const write of [false, true]) {
      for (const [name, { data }] of values) {
        const place = this.place(name);
        this.encodePieces(
          place,
          encoder,
          (first, count) => data.subarray(first, first + count),
          (range, start, encoded) => {
            checkLoaded(encoded, name, range.first + start, place, origin, {});
            if (write) writeRange(this.device, range, start, encoded);
          },
        );
      }
    }
  }

  /** Reads all weights (or all gradients there are) of a small model back, as f32. */
  async read(kind: 'values' | 'gradients' = 'values'): Promise<Map<string, FloatTensor>> {
    const named = [...this.places].filter(([, { trained }]) => kind === 'values' || trained);
    const read = await readFloats(
      this.device,
      named.map(([, place]) => this.ranges(place, kind)),
    );
    return new Map(
      named.map(([name, { spec }], index) => [name, { shape: spec.shape, data: read[index] ?? new Float32Array() }]),
    );
  }

  /** One weight (or its gradient) as f32. */
  async readTensor(name: string, kind: 'values' | 'gradients' = 'values'): Promise<Float32Array> {
    const place = this.place(name);
    if (kind === 'gradients' && !place.trained) throw new RangeError(`${name} is not trained`);
    const [data] = await readFloats(this.device, [this.ranges(place, kind)]);
    return data ?? new Float32Array();
  }

  /** What is on the device as a source: to export it, or to load another set from it, a few pieces at a time. */
  asSource(origin = 'the weights on the device'): WeightSource {
    return sourceOf(this.device, this.places, (place) => this.ranges(place), origin);
  }

  close(): void {
    for (const { values, gradients, flags } of this.arenas) {
      for (const tensor of [values, gradients, flags]) if (tensor !== undefined) this.device.destroyTensor(tensor);
    }
  }

  /** The ranges a weight lies in, in order: one unless it has parts. */
  private ranges(place: WeightLocation, kind: 'values' | 'gradients' = 'values'): StoredRange[] {
    const rowElements = sizeOf(place.spec.shape) / (place.spec.shape[0] ?? 1);
    return place.pieces.map((piece) => {
      const tensor = this.piece(place, piece, place.spec.name, (index) => this.arena(index.arena)[kind]);
      const count = sizeOf(tensor.shape);
      return {
        first: piece.firstRow * rowElements,
        count,
        values: { ...tensor, shape: [count] },
        scales: tensor.scales,
      };
    });
  }

  private initialize(seed: number, wanted: (spec: ParameterSpec) => boolean = () => true): void {
    const encoder = this.hostEncoder();
    for (const [name, place] of this.places) {
      if (!wanted(place.spec)) continue;
      const next = initialValues(place.spec, seed);
      this.encodePieces(
        place,
        encoder,
        (_first, count) => next(count),
        (range, start, encoded) => {
          checkLoaded(encoded, name, range.first + start, place, 'initial values', {});
          writeRange(this.device, range, start, encoded);
        },
      );
    }
  }

  private hostEncoder(): WeightEncoder {
    return new WeightEncoder(
      Math.min(hostPiece, Math.max(64, ...[...this.places.values()].map(({ spec }) => sizeOf(spec.shape)))),
    );
  }

  private encodePieces(
    place: WeightLocation,
    encoder: WeightEncoder,
    values: (first: number, count: number) => Float32Array,
    use: (range: StoredRange, start: number, encoded: ReturnType<WeightEncoder['encodeFloats']>) => void,
  ): void {
    for (const range of this.ranges(place)) {
      for (let start = 0; start < range.count; start += hostPiece) {
        const count = Math.min(hostPiece, range.count - start);
        use(range, start, encoder.encodeFloats(values(range.first + start, count), place.type));
      }
    }
  }

  private createArena({ type, trained, elements }: ArenaLayout, index: number): Arena {
    const flags = new Uint32Array(trained ? elements / blockSize : 1);
    for (const { spec, pieces } of trained ? this.places.values() : []) {
      const decays = spec.decay ?? spec.shape.length > 1;
      for (const { arena, offset, rows } of pieces) {
        const count = (sizeOf(spec.shape) / (spec.shape[0] ?? 1)) * rows;
        if (arena === index)
          flags.fill(
            flagTrainable | (decays ? flagDecay : 0),
            offset / blockSize,
            Math.ceil((offset + count) / blockSize),
          );
      }
    }
    return {
      values: this.device.tensor(`weights ${index}`, [elements], type),
      gradients: trained ? this.device.tensor(`gradients ${index}`, [elements]) : undefined,
      flags: this.device.tensor(`flags ${index}`, [flags.length], 'u32', flags),
      elements,
    };
  }

  private place(name: string): WeightLocation {
    const place = this.places.get(name);
    if (place === undefined) throw new RangeError(`no parameter is named ${name}`);
    return place;
  }

  private arena(index: number): Arena {
    const arena = this.arenas[index];
    if (arena === undefined) throw new RangeError(`no arena ${index}`);
    return arena;
  }

  private view(place: WeightLocation, name: string, flat: (piece: RowRange) => Tensor | undefined): Tensor {
    const [only, ...more] = place.pieces;
    if (only === undefined) throw new RangeError(`${name} lies nowhere`);
    if (more.length === 0) return this.piece(place, only, name, flat);
    const parts = place.pieces.map((piece) => this.piece(place, piece, `${name} from row ${piece.firstRow}`, flat));
    const [first] = parts;
    if (first === undefined) throw new RangeError(`${name} lies nowhere`);
    return { name, shape: place.spec.shape, type: first.type, memory: first.memory, shards: parts };
  }

  private piece(
    { spec }: WeightLocation,
    { arena, offset, rows, scales }: RowRange,
    name: string,
    flat: (piece: RowRange) => Tensor | undefined,
  ): Tensor {
    const values = flat({ arena, offset, rows, firstRow: 0 });
    if (values === undefined) throw new RangeError(`${name} has no gradient`);
    const shape = spec.shape.length === 0 ? spec.shape : [rows, ...spec.shape.slice(1)];
    const tensor: Tensor = { name, shape, type: values.type, memory: at(values, offset) };
    if (scales === undefined) return tensor;
    const words = this.arena(scales.arena).values;
    const groups = sizeOf(shape) / rows / quantizedGroup;
    return {
      ...tensor,
      scales: { name: `${name} scales`, shape: [rows, groups], type: 'u32', memory: at(words, scales.offset) },
    };
  }
}

function at(flat: Tensor, offset: number): Tensor['memory'] {
  if (!('buffer' in flat.memory)) throw new RangeError('an arena lives in a buffer');
  return { buffer: flat.memory.buffer, offset: flat.memory.offset + offset * elementBytes(flat.type) };
}
