/**
 * The device: one WebGPU adapter opened with everything it offers, its pipelines, its buffers, and the only way back
 * to the host (`read`). Errors that Dawn reports asynchronously are kept and thrown at the next `read`.
 */
import { ReasongenError } from '../errors.ts';
import { faults } from '../faults.ts';
import { at } from '../tensor/at.ts';
import { byteLength, type ElementType, type Tensor } from '../tensor/tensor.ts';
import { offeredFeatures, reportAdapter, type AdapterReport } from './adapter-report.ts';
import { beginWait, dawn, driverThreads, nullDawn, wantedAdapter, withDriverThreads } from './dawn.ts';
import { bindingTooLarge, bufferTooLarge, deviceLost, noAdapter, outOfMemory, reportedError } from './device-errors.ts';
import { availableMemory } from './host-memory.ts';
import { defaultTuning, type KernelTuning } from './tuning.ts';
import type { Kernel } from './kernel.ts';
import { compilePipeline, type Pipeline } from './pipeline.ts';
import { ReadBack } from './read-back.ts';
import { valuesOf, writeTensor } from './transfer.ts';
import { tryBuffers } from './memory-trial.ts';

export interface DeviceOptions {
  /** Dawn's null back end: compiles every kernel, computes nothing. */
  readonly nullBackend?: boolean;
  /** Leave these features out although the adapter has them (tests of the fallbacks). */
  readonly without?: readonly string[];
  /** With so many threads of a software driver that no other device shares (lavapipe); all devices share them unless told. */
  readonly threads?: number;
}

export interface DeviceMemory {
  /** Of all live buffers, and the most there ever were. */
  readonly bytes: number;
  readonly peakBytes: number;
  /** Buffers ever made: a number that stands still while programs are replayed. */
  readonly created: number;
  readonly submits: number;
  readonly passes: number;
}

/** A value that may change between replays of a program: learning rate, step, seed. One element on the device. */
export interface Scalar {
  readonly tensor: Tensor;
  set(value: number): void;
}

const limitNames = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
] as const;

export type { AdapterReport, Pipeline };

/** Opens the best adapter with all it offers. Throws NO_ADAPTER. `close` it, or the process does not end. */
export async function openDevice(options: DeviceOptions = {}): Promise<Device> {
  const { nullBackend = false, threads } = options;
  const open = (gpu: GPU): Promise<Device> => openFrom(gpu, options);
  return threads === undefined ? open(nullBackend ? nullDawn() : dawn()) : withDriverThreads(threads, open);
}

async function openFrom(gpu: GPU, options: DeviceOptions): Promise<Device> {
  const wanted = options.nullBackend ? undefined : wantedAdapter();
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' }).catch((cause: unknown) => {
    // So the binding says that none has the name that was asked for.
    throw noAdapter(wanted, cause);
  });
  if (adapter === null) throw noAdapter(wanted);
  const features = offeredFeatures(adapter, options.without);
  const requiredLimits: Record<string, number> = {};
  for (const name of limitNames) requiredLimits[name] = adapter.limits[name];
  const device = await adapter.requestDevice({ requiredFeatures: features, requiredLimits });
  return new Device(device, reportAdapter(adapter, features), (threads) => openDevice({ ...options, threads }));
}

/** Makes tensors, writes them, compiles kernels, and reads back. Errors of WebGPU come as ReasongenError at the next read. */
export class Device {
  readonly gpu: GPUDevice;
  readonly adapter: AdapterReport;
  readonly limits: GPUSupportedLimits;
  /** True for a device that only counts (planning-device.ts): there is nothing to compute, load or wait for. */
  readonly isPlanning: boolean = false;
  /** What a user should know of how it was opened: what the adapter offers and this device leaves out. */
  notes: readonly string[] = [];
  /** Which of several equal kernels is taken for which size; set before anything is recorded. */
  tuning: KernelTuning = defaultTuning;
  /** Shapes of the matrices that products were asked of, by precision: what a run keeps of it. */
  readonly matricesUsed = new Map<string, string>();
  private readonly pipelines = new Map<string, Promise<Pipeline>>();
  private readonly buffers = new Set<GPUBuffer>();
  private readonly readBack = new ReadBack(this);
  private readonly openAnother: ((threads: number) => Promise<Device>) | undefined;
  /** Devices beside this one, by their threads, and all of them that are open. */
  private readonly others = new Map<number, Promise<Device>[]>();
  private readonly openOthers: Device[] = [];
  private failure: ReasongenError | undefined;
  private isClosed = false;
  /** Bytes of all live buffers made by this device. */
  allocatedBytes = 0;
  peakBytes = 0;
  private created = 0;
  private submits = 0;
  private passes = 0;
  /** Bytes made since the system was last asked what it has left. */
  private unasked = 0;

  /** `openAnother`: opens the same adapter again, with so many threads of a software driver. */
  constructor(gpu: GPUDevice, adapter: AdapterReport, openAnother?: (threads: number) => Promise<Device>) {
    this.gpu = gpu;
    this.adapter = adapter;
    this.openAnother = openAnother;
    this.limits = gpu.limits;
    gpu.addEventListener('uncapturederror', (event) => {
      event.preventDefault();
      this.failure ??= reportedError(event.error);
    });
    void gpu.lost.then((info) => this.noteLoss(info));
  }

  private noteLoss({ message, reason }: GPUDeviceLostInfo): void {
    if (!this.isClosed) this.failure = deviceLost(`the device was lost: ${message || reason}`);
  }

  /** True where a subgroup is exactly eight lanes wide and there is no GPU: the broadcast tiles apply (kernels/linear). */
  get hasBroadcastTiles(): boolean {
    const { subgroupMinSize, subgroupMaxSize, features, isSoftware } = this.adapter;
    return isSoftware && features.includes('subgroups') && subgroupMinSize === 8 && subgroupMaxSize === 8;
  }

  /** Threads of the driver that wait for each other at every launch, and could be divided among devices beside this one; 1 where they could not. */
  get divisibleThreads(): number {
    return this.openAnother !== undefined && /llvmpipe/i.test(this.adapter.description) ? driverThreads() : 1;
  }

  /**
   * So many devices of the same adapter with so many threads each. They are opened when they are first asked for, the same for everybody who asks, and
   * closed with this one.
   */
  async beside(count: number, threads: number): Promise<readonly Device[]> {
    const { openAnother } = this;
    if (openAnother === undefined) throw new RangeError('no device can be opened beside this one');
    const opened = this.others.get(threads) ?? [];
    this.others.set(threads, opened);
    while (opened.length < count)
      opened.push(
        openAnother(threads).then((device) => {
          this.openOthers.push(device);
          if (this.isClosed) device.close();
          return device;
        }),
      );
    const devices = await Promise.all(opened.slice(0, count));
    for (const device of devices) device.tuning = this.tuning;
    return devices;
  }

  has(feature: string): boolean {
    return this.adapter.features.includes(feature);
  }

  createBuffer(
    bytes: number,
    label: string,
    usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
  ): GPUBuffer {
    this.refuseWhatCannotFit(bytes, label);
    const buffer = this.gpu.createBuffer({ size: bytes, usage, label });
    this.buffers.add(buffer);
    this.created += 1;
    this.allocatedBytes += bytes;
    this.peakBytes = Math.max(this.peakBytes, this.allocatedBytes);
    return buffer;
  }

  /** What the programs of the device and of those beside it cost so far, for run records and tests. */
  get memory(): DeviceMemory {
    const all: readonly Device[] = [this, ...this.openOthers];
    const sum = (of: (device: Device) => number): number => all.reduce((total, device) => total + of(device), 0);
    return {
      bytes: sum(({ allocatedBytes }) => allocatedBytes),
      peakBytes: sum(({ peakBytes }) => peakBytes),
      created: sum(({ created }) => created),
      submits: sum(({ submits }) => submits),
      passes: sum(({ passes }) => passes),
    };
  }

  submit(encoder: GPUCommandEncoder): void {
    this.submits += 1;
    this.gpu.queue.submit([encoder.finish()]);
  }

  beginPass(encoder: GPUCommandEncoder): GPUComputePassEncoder {
    this.passes += 1;
    return encoder.beginComputePass();
  }

  /** Gives a buffer back. Call only when no submitted work still uses it (after a `read`). */
  destroyBuffer(buffer: GPUBuffer): void {
    if (!this.buffers.delete(buffer)) return;
    this.allocatedBytes -= buffer.size;
    buffer.destroy();
  }

  /** A tensor in a buffer of its own, zero unless `data` is given; f16 and bf16 are given as raw 16-bit words. */
  tensor(
    name: string,
    shape: readonly number[],
    type: ElementType = 'f32',
    data?: Float32Array | Uint32Array | Uint16Array,
  ): Tensor {
    const buffer = this.createBuffer(byteLength(shape, type), name);
    const tensor: Tensor = { name, shape, type, memory: { buffer, offset: 0 } };
    if (data !== undefined) this.write(tensor, data);
    return tensor;
  }

  destroyTensor(tensor: Tensor): void {
    if ('buffer' in tensor.memory) this.destroyBuffer(tensor.memory.buffer);
  }

  /** Writes all values of a tensor in a buffer of its own; f16 and bf16 are given as raw 16-bit words. Throws RangeError for any other tensor or type. */
  write(tensor: Tensor, data: Float32Array | Uint32Array | Uint16Array): void {
    writeTensor(this.gpu.queue, tensor, data);
  }

  /** Makes all values of a tensor in a buffer of its own zero. Its bytes are a multiple of four. */
  clear({ name, shape, type, memory }: Tensor): void {
    if (!('buffer' in memory)) throw new RangeError(`${name} lives in a program and cannot be cleared`);
    const encoder = this.gpu.createCommandEncoder();
    encoder.clearBuffer(memory.buffer, memory.offset, byteLength(shape, type));
    this.submit(encoder);
  }

  scalar(name: string, value: number, type: 'f32' | 'u32' = 'f32'): Scalar {
    const tensor = this.tensor(name, [1], type);
    const set = (next: number): void =>
      this.write(tensor, type === 'f32' ? Float32Array.of(next) : Uint32Array.of(next));
    set(value);
    return { tensor, set };
  }

  /** Copies tensors back to the host: one submit, one map, unless they are very large. f16 and bf16 come back as raw 16-bit words. */
  async read(tensors: readonly Tensor[]): Promise<(Float32Array | Uint32Array | Uint16Array)[]> {
    let bytes: ArrayBuffer[];
    if (faults?.pass('device') === 'device-lost') this.gpu.destroy();
    try {
      bytes = await this.readBack.read(tensors);
    } catch (cause) {
      if (cause instanceof RangeError || cause instanceof ReasongenError) throw cause;
      // What Dawn reports and what becomes of the device arrive as events of their own.
      await Promise.resolve();
      // A mistake of the program is no fault of the device.
      if (this.failure === undefined && cause instanceof TypeError) throw cause;
      throw this.failure ?? deviceLost('reading from the device failed', cause);
    }
    this.throwFailure();
    return tensors.map((tensor, index) => valuesOf(tensor, at(bytes, index)));
  }

  /** Makes the staging buffer for reads of so many bytes now, so that later ones allocate nothing. */
  reserveReadBack(bytes: number): void {
    this.readBack.reserve(bytes);
  }

  async readFloats(tensor: Tensor): Promise<Float32Array> {
    const [values] = await this.read([tensor]);
    if (!(values instanceof Float32Array)) throw new RangeError(`${tensor.name} is not f32`);
    return values;
  }

  async readWords(tensor: Tensor): Promise<Uint32Array> {
    const [values] = await this.read([tensor]);
    if (!(values instanceof Uint32Array)) throw new RangeError(`${tensor.name} is not u32`);
    return values;
  }

  /** Waits until everything submitted is done. */
  async settle(): Promise<void> {
    beginWait();
    await this.gpu.queue.onSubmittedWorkDone();
    this.throwFailure();
  }

  pipeline(kernel: Kernel): Promise<Pipeline> {
    let pending = this.pipelines.get(kernel.code);
    if (pending === undefined) {
      pending = compilePipeline(this.gpu, kernel);
      this.pipelines.set(kernel.code, pending);
    }
    return pending;
  }

  close(): void {
    this.isClosed = true;
    for (const other of this.openOthers) other.close();
    this.destroyBuffers();
    this.gpu.destroy();
  }

  /** All of them; what used them is of no use any more. */
  protected destroyBuffers(): void {
    for (const buffer of this.buffers) buffer.destroy();
    this.buffers.clear();
    this.allocatedBytes = 0;
  }

  /** Throws what Dawn reported since the last look. */
  throwFailure(): void {
    if (this.failure === undefined) return;
    const failure = this.failure;
    if (failure.code !== 'DEVICE_LOST') this.failure = undefined;
    throw failure;
  }

  /** Bytes of memory that can be had right now, up to `wanted`. For adapters with memory of their own. */
  async tryMemory(wanted: number): Promise<number> {
    const had = await tryBuffers(this.gpu, wanted);
    await this.settle();
    return had;
  }

  /** Throws when a kernel cannot be given so many bytes at once. `what` names kernel and tensor. */
  requireBinding(bytes: number, what: string): void {
    const limit = this.limits.maxStorageBufferBindingSize;
    if (bytes > limit) throw bindingTooLarge(what, bytes, limit);
  }

  /** Told of every weight that one binding cannot hold; only a plan cares. */
  noteParts(_weight: string, _parts: number): void {}

  protected refuseWhatCannotFit(bytes: number, label: string): void {
    if (bytes > this.limits.maxBufferSize) throw bufferTooLarge(label, bytes, this.limits.maxBufferSize);
    // A software adapter commits memory lazily and crashes instead of reporting: ask the system first, but not for every small buffer.
    this.unasked += bytes;
    if (!this.adapter.isSoftware || this.unasked < 16 * 2 ** 20) return;
    const left = availableMemory();
    const isTooMuch = this.unasked > left;
    this.unasked = 0;
    if (isTooMuch) throw outOfMemory(label, bytes, left);
  }
}
