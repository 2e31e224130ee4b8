/**
 * The weights of a model as a few large flat buffers ("arenas") with every tensor a range of one. Values, gradients and
 * optimizer state share one layout, so that the optimizer, the gradient norm, checkpoints and averages are single launches
 * or copies over whole arenas. An arena never exceeds what the adapter binds.
 */
import type { ParameterSpec, Weights } from '../contracts/backbone.ts';
import type { Device } from '../gpu/device.ts';
import { ReasongenError } from '../errors.ts';
import { sizeOf, type Tensor } from '../tensor/tensor.ts';
import type { Tape } from './tape.ts';

/** Elements that share one entry of an arena's flags; every tensor starts at a multiple (256 bytes). */
export const blockSize = 64;

export const flagTrainable = 1;
export const flagDecay = 2;

export interface Arena {
  /** f32 [elements] */
  readonly values: Tensor;
  /** f32 [elements]; absent when nothing in the set is trained. */
  readonly gradients: Tensor | undefined;
  /** u32 [elements / blockSize]: flagTrainable, flagDecay. */
  readonly flags: Tensor;
  readonly elements: number;
}

export interface ParameterOptions {
  readonly seed: number;
  /** Which parameters are trained; none by default. */
  readonly trainable?: (name: string) => boolean;
}

interface Place {
  readonly spec: ParameterSpec;
  readonly arena: number;
  readonly offset: number;
}

export class ParameterSet implements Weights {
  readonly device: Device;
  readonly arenas: readonly Arena[];
  private readonly places: ReadonlyMap<string, Place>;
  private readonly isTrained: (name: string) => boolean;

  constructor(device: Device, specs: readonly ParameterSpec[], options: ParameterOptions) {
    this.device = device;
    this.isTrained = options.trainable ?? (() => false);
    const { places, sizes } = layOut(specs, device.limits.maxStorageBufferBindingSize / 4);
    this.places = places;
    this.arenas = sizes.map((elements, index) => this.createArena(elements, index, options.seed));
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

  /** Writes host values; a missing, unexpected or mis-shaped tensor is reported together with all others. */
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
      });
    }
    for (const [name, { data }] of values) this.device.write(this.get(name), data);
  }

  /** Reads all weights (or their gradients) back. */
  async read(kind: 'values' | 'gradients' = 'values'): Promise<Map<string, { shape: readonly number[]; data: Float32Array }>> {
    const tensors = this.arenas.map((arena) => (kind === 'values' ? arena.values : arena.gradients)).filter((tensor) => tensor !== undefined);
    const flat = (await this.device.read(tensors)) as Float32Array[];
    const result = new Map<string, { shape: readonly number[]; data: Float32Array }>();
    for (const [name, { spec, arena, offset }] of this.places) {
      const data = flat[arena]?.slice(offset, offset + sizeOf(spec.shape));
      if (data !== undefined) result.set(name, { shape: spec.shape, data });
    }
    return result;
  }

  close(): void {
    for (const { values, gradients, flags } of this.arenas) {
      for (const tensor of [values, gradients, flags]) if (tensor !== undefined) this.device.destroyTensor(tensor);
    }
  }

  private createArena(elements: number, index: number, seed: number): Arena {
    const values = new Float32Array(elements);
    const flags = new Uint32Array(elements / blockSize);
    let hasTrained = false;
    for (const [name, { spec, arena, offset }] of this.places) {
      if (arena !== index) continue;
      fill(values.subarray(offset, offset + sizeOf(spec.shape)), spec, seed);
      const trained = this.isTrained(name);
      hasTrained ||= trained;
      const decays = spec.decay ?? spec.shape.length > 1;
      flags.fill((trained ? flagTrainable : 0) | (decays ? flagDecay : 0), offset / blockSize, Math.ceil((offset + sizeOf(spec.shape)) / blockSize));
    }
    return {
      values: this.device.tensor(`weights ${index}`, [elements], 'f32', values),
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
    return { name, shape: place.spec.shape, type: 'f32', memory: { buffer: flat.memory.buffer, offset: flat.memory.offset + place.offset * 4 } };
  }
}

function layOut(specs: readonly ParameterSpec[], limit: number): { places: Map<string, Place>; sizes: number[] } {
  const places = new Map<string, Place>();
  const sizes: number[] = [0];
  for (const spec of specs) {
    const elements = Math.ceil(sizeOf(spec.shape) / blockSize) * blockSize;
    if (elements > limit) {
      throw new ReasongenError({
        code: 'BINDING_TOO_LARGE',
        message: `weight ${spec.name} [${spec.shape}] has ${elements * 4} bytes; this adapter binds at most ${limit * 4}`,
        cure: 'use an adapter with a larger maxStorageBufferBindingSize, or a smaller model',
        exitCode: 4,
      });
    }
    if (places.has(spec.name)) throw new RangeError(`two parameters are named ${spec.name}`);
    if ((sizes.at(-1) ?? 0) + elements > limit) sizes.push(0);
    const arena = sizes.length - 1;
    const offset = sizes[arena] ?? 0;
    places.set(spec.name, { spec, arena, offset });
    sizes[arena] = offset + elements;
  }
  return { places, sizes };
}

/** Values depend on seed and name only, so that adding a parameter changes no other. */
function fill(target: Float32Array, spec: ParameterSpec, seed: number): void {
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
