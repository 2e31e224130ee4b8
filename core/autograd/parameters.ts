/**
 * The weights of a model as a few large flat buffers ("arenas") with every tensor a range of one. Values, gradients and
 * optimizer state share one layout, so that the optimizer, the gradient norm, checkpoints and averages are single launches
 * or copies over whole arenas. An arena never exceeds what the adapter binds. Matrices of a set that is not trained may be stored
 * as f16, in arenas of their own.
 */
import type { ParameterSpec, Weights } from '../contracts/backbone.ts';
import type { Device } from '../gpu/device.ts';
import { ReasongenError, exitCodes } from '../errors.ts';
import { fromHalves, largestHalf, toHalves } from '../tensor/float16.ts';
import { elementBytes, sizeOf, type Tensor } from '../tensor/tensor.ts';
import type { Tape } from './tape.ts';

/** Elements that share one entry of an arena's flags; every tensor starts at a multiple. */
export const blockSize = 64;

/** Bytes at whose multiples a tensor starts: what a binding needs, and a block of f32. */
const alignment = 256;

export const flagTrainable = 1;
export const flagDecay = 2;

export interface Arena {
  /** f32 [elements]; f16 where matrices are stored so, which are never trained. */
  readonly values: Tensor;
  /** f32 [elements]; absent when nothing in the set is trained. */
  readonly gradients: Tensor | undefined;
  /** u32 [elements / blockSize]: flagTrainable, flagDecay. */
  readonly flags: Tensor;
  readonly elements: number;
}

/** How matrices (two or more dimensions) are kept on the device; everything is computed in f32. */
export type WeightStorage = 'f32' | 'f16';

export interface ParameterOptions {
  readonly seed: number;
  /** Which parameters are trained; none by default. */
  readonly trainable?: (name: string) => boolean;
  /** f32 by default. f16 halves the memory and rounds to nearest, ties to even; a set of which anything is trained must be f32. */
  readonly storage?: WeightStorage;
}

interface Place {
  readonly spec: ParameterSpec;
  readonly arena: number;
  /** In elements. */
  readonly offset: number;
}

interface ArenaLayout {
  readonly type: WeightStorage;
  elements: number;
}

export class ParameterSet implements Weights {
  readonly device: Device;
  readonly arenas: readonly Arena[];
  private readonly places: ReadonlyMap<string, Place>;
  private readonly isTrained: (name: string) => boolean;

  constructor(device: Device, specs: readonly ParameterSpec[], options: ParameterOptions) {
    this.device = device;
    this.isTrained = options.trainable ?? (() => false);
    const { storage = 'f32' } = options;
    if (storage === 'f16') refuseTrained(specs, this.isTrained);
    const { places, layouts } = layOut(specs, storage, device.limits.maxStorageBufferBindingSize);
    this.places = places;
    this.arenas = layouts.map((layout, index) => this.createArena(layout, index, options.seed));
  }

  get names(): string[] {
    return [...this.places.keys()];
  }

  get elements(): number {
    return [...this.places.values()].reduce((sum, { spec }) => sum + sizeOf(spec.shape), 0);
  }

  get(name: string): Tensor {
    const place = this.place(name);
    return this.view(place, this.arena(place).values, name);
  }

  gradient(name: string): Tensor | undefined {
    const place = this.place(name);
    const { gradients } = this.arena(place);
    return gradients === undefined || !this.isTrained(name) ? undefined : this.view(place, gradients, `d ${name}`);
  }

  /** Asks the tape for the gradients of everything trained. */
  watch(tape: Tape): void {
    for (const name of this.names) {
      const gradient = this.gradient(name);
      if (gradient !== undefined) tape.watch(this.get(name), gradient);
    }
  }

  /**
   * Writes host values, rounded where they are stored as f16; nothing is written when anything is wrong. A missing, unexpected
   * or mis-shaped tensor is reported together with all others; a value that f16 cannot store with the tensor it is in.
   */
  load(values: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>, origin: string): void {
    const problems: string[] = [];
    for (const [name, { spec }] of this.places) {
      const given = values.get(name);
      if (given === undefined) problems.push(`missing: ${name} [${spec.shape}]`);
      else if (given.shape.join() !== spec.shape.join()) problems.push(`${name} is [${given.shape}], the model needs [${spec.shape}]`);
    }
    for (const name of values.keys()) if (!this.places.has(name)) problems.push(`unexpected: ${name}`);
    if (problems.length > 0) {
      const shown = problems.slice(0, 20);
      if (problems.length > shown.length) shown.push(`… and ${problems.length - shown.length} more`);
      throw new ReasongenError({
        code: 'CHECKPOINT_SHAPE',
        message: `${origin} does not fit this model:\n  ${shown.join('\n  ')}`,
        cure: 'use the backbone and sizes the checkpoint was made with (see its preset), or another checkpoint',
        exitCode: exitCodes.badPreset,
      });
    }
    const stored = [...values].map(([name, { data }]) => {
      const tensor = this.get(name);
      return { tensor, data: tensor.type === 'f16' ? halvesOf(data, name, origin) : data };
    });
    for (const { tensor, data } of stored) this.device.write(tensor, data);
  }

  /** Reads all weights (or their gradients) back, as f32. */
  async read(kind: 'values' | 'gradients' = 'values'): Promise<Map<string, { shape: readonly number[]; data: Float32Array }>> {
    const tensors = new Map<number, Tensor>();
    this.arenas.forEach(({ values, gradients }, index) => {
      const tensor = kind === 'values' ? values : gradients;
      if (tensor !== undefined) tensors.set(index, tensor);
    });
    const read = await this.device.read([...tensors.values()]);
    const flat = new Map([...tensors.keys()].map((arena, index) => [arena, read[index]]));
    const result = new Map<string, { shape: readonly number[]; data: Float32Array }>();
    for (const [name, { spec, arena, offset }] of this.places) {
      const data = flat.get(arena)?.slice(offset, offset + sizeOf(spec.shape));
      if (data instanceof Uint16Array) result.set(name, { shape: spec.shape, data: fromHalves(data) });
      else if (data instanceof Float32Array) result.set(name, { shape: spec.shape, data });
    }
    return result;
  }

  close(): void {
    for (const { values, gradients, flags } of this.arenas) {
      for (const tensor of [values, gradients, flags]) if (tensor !== undefined) this.device.destroyTensor(tensor);
    }
  }

  private createArena({ type, elements }: ArenaLayout, index: number, seed: number): Arena {
    const values = type === 'f16' ? new Uint16Array(elements) : new Float32Array(elements);
    const flags = new Uint32Array(elements / blockSize);
    let hasTrained = false;
    for (const [name, { spec, arena, offset }] of this.places) {
      if (arena !== index) continue;
      const initial = initialValues(spec, seed);
      values.set(type === 'f16' ? halvesOf(initial, name, 'initial values') : initial, offset);
      const trained = this.isTrained(name);
      hasTrained ||= trained;
      const decays = spec.decay ?? spec.shape.length > 1;
      flags.fill((trained ? flagTrainable : 0) | (decays ? flagDecay : 0), offset / blockSize, Math.ceil((offset + sizeOf(spec.shape)) / blockSize));
    }
    return {
      values: this.device.tensor(`weights ${index}`, [elements], type, values),
      gradients: hasTrained ? this.device.tensor(`gradients ${index}`, [elements]) : undefined,
      flags: this.device.tensor(`flags ${index}`, [flags.length], 'u32', flags),
      elements,
    };
  }

  private place(name: string): Place {
    const place = this.places.get(name);
    if (place === undefined) throw new RangeError(`no parameter is named ${name}`);
    return place;
  }

  private arena(place: Place): Arena {
    const arena = this.arenas[place.arena];
    if (arena === undefined) throw new RangeError(`no arena ${place.arena}`);
    return arena;
  }

  private view(place: Place, flat: Tensor, name: string): Tensor {
    if (!('buffer' in flat.memory)) throw new RangeError('an arena lives in a buffer');
    const offset = flat.memory.offset + place.offset * elementBytes(flat.type);
    return { name, shape: place.spec.shape, type: flat.type, memory: { buffer: flat.memory.buffer, offset } };
  }
}

/** f16 is for weights that stay as they are: an update is often smaller than the distance of two halves, and would be lost. */
function refuseTrained(specs: readonly ParameterSpec[], isTrained: (name: string) => boolean): void {
  const trained = specs.filter(({ name }) => isTrained(name));
  const first = trained[0];
  if (first === undefined) return;
  throw new ReasongenError({
    code: 'TRAINED_HALF',
    message: `weights that are trained cannot be stored as f16: ${first.name}${trained.length > 1 ? ` and ${trained.length - 1} more` : ''}`,
    cure: 'store weights as f32 to train them; f16 is for evaluating and drawing',
    exitCode: exitCodes.badPreset,
  });
}

/** Vectors (gains, biases) are small and stay f32. */
export function storedType(shape: readonly number[], storage: WeightStorage): WeightStorage {
  return shape.length > 1 ? storage : 'f32';
}

function layOut(specs: readonly ParameterSpec[], storage: WeightStorage, limit: number): { places: Map<string, Place>; layouts: ArenaLayout[] } {
  const places = new Map<string, Place>();
  const layouts: ArenaLayout[] = [];
  /** The arena that still grows, by type. */
  const open: Partial<Record<WeightStorage, number>> = {};
  for (const spec of specs) {
    const type = storedType(spec.shape, storage);
    const width = elementBytes(type);
    const block = alignment / width;
    const elements = Math.ceil(sizeOf(spec.shape) / block) * block;
    if (elements * width > limit) {
      throw new ReasongenError({
        code: 'BINDING_TOO_LARGE',
        message: `weight ${spec.name} [${spec.shape}] has ${elements * width} bytes; this adapter binds at most ${limit}`,
        cure: 'use an adapter with a larger maxStorageBufferBindingSize, or a smaller model',
        exitCode: 4,
      });
    }
    if (places.has(spec.name)) throw new RangeError(`two parameters are named ${spec.name}`);
    let arena = open[type];
    let layout = arena === undefined ? undefined : layouts[arena];
    if (arena === undefined || layout === undefined || (layout.elements + elements) * width > limit) {
      layout = { type, elements: 0 };
      arena = open[type] = layouts.push(layout) - 1;
    }
    places.set(spec.name, { spec, arena, offset: layout.elements });
    layout.elements += elements;
  }
  return { places, layouts };
}

/** Rounded to halves; what would become infinite, and NaN, is refused. */
function halvesOf(values: Float32Array, name: string, origin: string): Uint16Array {
  const index = values.findIndex((value) => !(Math.abs(value) <= largestHalf));
  if (index >= 0) {
    throw new ReasongenError({
      code: 'VALUE_TOO_LARGE',
      message: `weight "${name}" holds ${values[index]}; f16 stores values up to ±${largestHalf}`,
      place: origin,
      cure: 'store the weights as f32',
    });
  }
  return toHalves(values);
}

/** Values depend on seed and name only, so that adding a parameter changes no other. */
function initialValues(spec: ParameterSpec, seed: number): Float32Array {
  const target = new Float32Array(sizeOf(spec.shape));
  if ('constant' in spec.init) target.fill(spec.init.constant);
  else if ('values' in spec.init) target.set(spec.init.values);
  else {
    const { normal } = spec.init;
    const random = uniformStream(seed, spec.name);
    for (let i = 0; i < target.length; i += 2) {
      // Box and Muller: two normal values from two uniform ones.
      const radius = normal * Math.sqrt(-2 * Math.log(1 - random()));
      const angle = 2 * Math.PI * random();
      target[i] = radius * Math.cos(angle);
      if (i + 1 < target.length) target[i + 1] = radius * Math.sin(angle);
    }
  }
  return target;
}

/** A splitmix32 stream keyed by seed and name; values in [0, 1). */
function uniformStream(seed: number, name: string): () => number {
  let state = seed >>> 0;
  for (const character of name) state = Math.imul(state ^ (character.codePointAt(0) ?? 0), 0x9e3779b1) >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32;
  };
}
