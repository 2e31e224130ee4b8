/**
 * Weights as bytes by name, in the form in which they lie on a device: what machines that draw with one model hand each other. Of a weight in
 * parts the parts follow one another, and the scales of its codes follow them. A tensor has the same bytes wherever it is stored alike.
 */
import type { Backbone, ParameterSpec, Weights } from '../contracts/backbone.ts';
import type {
  ReceivingWeights,
  SharedAdapter,
  SharedTensor,
  SharedWeights,
  WeightLayout,
} from '../contracts/executor.ts';
import type { Device } from '../gpu/device.ts';
import { elementBytes, sizeOf, type Adapter, type Tensor } from '../tensor/tensor.ts';
import { adapterNames, isAdapterName } from './adapters.ts';
import { storedType } from './layout.ts';
import { ParameterSet } from './parameters.ts';

/** What a backbone reads of some weights, to be handed to others. */
export function shareWeights(device: Device, { parameters }: Backbone, weights: Weights): SharedWeights {
  const tensors: SharedTensor[] = [];
  const adapters: SharedAdapter[] = [];
  const parts = new Map<string, Tensor>();
  const there = new Set(weights.names ?? parameters.map(({ name }) => name));
  for (const { name } of parameters.filter((spec) => there.has(spec.name))) {
    const tensor = weights.get(name);
    const { adapter } = tensor;
    tensors.push({ name, storage: storageOf(tensor) });
    parts.set(name, tensor);
    if (adapter === undefined) continue;
    const { down, up } = adapterNames(name);
    adapters.push({ weight: name, rank: adapter.down.shape[0] ?? 0, scale: adapter.scale });
    parts.set(down, adapter.down);
    parts.set(up, adapter.up);
  }
  return {
    layout: { tensors, adapters },
    names: [...parts.keys()],
    moves: (name) => isAdapterName(name) || (weights.moves?.(name) ?? true),
    version: () => weights.version?.(),
    byteLength: (name) => bytesOf(found(parts, name)),
    read: (names) =>
      readBytes(
        device,
        names.map((name) => found(parts, name)),
      ),
  };
}

/** Weights of a layout on a device, zero until they are written. */
export class ReceivedWeights implements Weights, ReceivingWeights {
  private readonly device: Device;
  private readonly base: ParameterSet;
  private readonly matrices: ParameterSet;
  private readonly adapters: ReadonlyMap<string, Adapter>;

  /** Throws RangeError for a layout of another backbone. */
  constructor(device: Device, { parameters }: Backbone, layout: WeightLayout) {
    this.device = device;
    const specs = new Map(parameters.map((spec) => [spec.name, spec]));
    const stored = new Map(layout.tensors.map(({ name, storage }) => [name, storage]));
    const wanted = layout.tensors.map(({ name, storage }) => {
      const spec = specs.get(name);
      if (spec === undefined) throw new RangeError(`no weight of this backbone is named ${name}`);
      if (storedType(spec, storage) !== storage) throw new RangeError(`${name} cannot be stored as ${storage}`);
      return spec;
    });
    this.base = new ParameterSet(device, wanted, {
      seed: 0,
      storage: ({ name }) => stored.get(name) ?? 'f32',
      initialize: 'none',
    });
    this.matrices = new ParameterSet(
      device,
      layout.adapters.flatMap((adapter) => matricesOf(adapter, specs.get(adapter.weight))),
      { seed: 0, initialize: 'none' },
    );
    this.adapters = new Map(
      layout.adapters.map(({ weight, scale }) => {
        const { down, up } = adapterNames(weight);
        return [weight, { down: this.matrices.get(down), up: this.matrices.get(up), scale }];
      }),
    );
  }

  get names(): string[] {
    return [...this.base.names, ...this.matrices.names];
  }

  get(name: string): Tensor {
    const tensor = this.base.get(name);
    const adapter = this.adapters.get(name);
    return adapter === undefined ? tensor : { ...tensor, adapter };
  }

  byteLength(name: string): number {
    return bytesOf(this.whole(name));
  }

  write(name: string, bytes: Uint8Array): void {
    if (bytes.byteLength !== this.byteLength(name))
      throw new RangeError(`${name} has ${this.byteLength(name)} bytes, not ${bytes.byteLength}`);
    let done = 0;
    for (const { buffer, offset, bytes: count } of rangesOf(this.whole(name))) {
      // A queue writes whole words; a tensor has room for them.
      const words = new Uint8Array(Math.ceil(count / 4) * 4);
      words.set(bytes.subarray(done, done + count));
      this.device.gpu.queue.writeBuffer(buffer, offset, words);
      done += count;
    }
  }

  close(): void {
    this.base.close();
    this.matrices.close();
  }

  private whole(name: string): Tensor {
    return this.matrices.names.includes(name) ? this.matrices.get(name) : this.base.get(name);
  }
}

function matricesOf({ weight, rank }: SharedAdapter, spec: ParameterSpec | undefined): ParameterSpec[] {
  const [rows, inner] = spec?.shape ?? [];
  if (rows === undefined || inner === undefined || spec?.shape.length !== 2)
    throw new RangeError(`${weight} is no matrix of this backbone, and has an adapter`);
  const { down, up } = adapterNames(weight);
  return [
    { name: down, shape: [rank, inner], init: { constant: 0 }, exact: true },
    { name: up, shape: [rows, rank], init: { constant: 0 }, exact: true },
  ];
}

interface ByteRange {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly bytes: number;
}

/** Where the bytes of a tensor lie, in the order in which they are handed on. */
function rangesOf(tensor: Tensor): ByteRange[] {
  const parts = tensor.shards ?? [tensor];
  const scales = parts.flatMap((part) => part.scales ?? []);
  return [...parts, ...scales].map(({ name, shape, type, memory }) => {
    if (!('buffer' in memory)) throw new RangeError(`${name} is not a weight`);
    return { buffer: memory.buffer, offset: memory.offset, bytes: Math.ceil(sizeOf(shape) * elementBytes(type)) };
  });
}

function bytesOf(tensor: Tensor): number {
  return rangesOf(tensor).reduce((sum, { bytes }) => sum + bytes, 0);
}

async function readBytes(device: Device, tensors: readonly Tensor[]): Promise<Uint8Array[]> {
  const ranges = tensors.map(rangesOf);
  const words = ranges.flat().map(({ buffer, offset, bytes }): Tensor => ({
    name: 'weights',
    shape: [Math.ceil(bytes / 4)],
    type: 'u32',
    memory: { buffer, offset },
  }));
  const read = await device.read(words);
  let next = 0;
  return ranges.map((list) => {
    const pieces = list.map(({ bytes }) => {
      const values = read[next++];
      if (values === undefined) throw new RangeError('unreachable: every range was read');
      return new Uint8Array(values.buffer, values.byteOffset, bytes);
    });
    const [only, ...more] = pieces;
    return only !== undefined && more.length === 0 ? only : new Uint8Array(Buffer.concat(pieces));
  });
}

function storageOf({ name, type }: Tensor): SharedTensor['storage'] {
  if (type === 'u32') throw new RangeError(`${name} is not a weight`);
  return type;
}

function found(parts: ReadonlyMap<string, Tensor>, name: string): Tensor {
  const tensor = parts.get(name);
  if (tensor === undefined) throw new RangeError(`no weight is named ${name}`);
  return tensor;
}
