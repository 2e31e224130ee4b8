/** The way back to the host: one staging buffer, filled and mapped as often as it takes. */
import { byteLength, type Tensor } from '../tensor/tensor.ts';
import { beginWait } from './dawn.ts';

/** Bytes mapped at once: staging must not cost as much as the model whose checkpoint is written. */
const stagingLimit = 64 * 2 ** 20;

interface Piece {
  readonly tensor: number;
  readonly buffer: GPUBuffer;
  /** Bytes into `buffer`. */
  readonly from: number;
  /** Bytes into the tensor's copy on the host. */
  readonly to: number;
  readonly bytes: number;
}

/** A device, as far as it takes to read from it. */
interface StagingDevice {
  readonly gpu: GPUDevice;
  createBuffer(bytes: number, label: string, usage: number): GPUBuffer;
  destroyBuffer(buffer: GPUBuffer): void;
  submit(encoder: GPUCommandEncoder): void;
}

export class ReadBack {
  private readonly device: StagingDevice;
  private staging: GPUBuffer | undefined;
  /** What was asked for before; there is one staging buffer, so the next waits for it. */
  private last: Promise<void> = Promise.resolve();
  private pending = 0;
  private reserved = 0;

  constructor(device: StagingDevice) {
    this.device = device;
  }

  /**
   * The bytes of each tensor. One submit and one map for every `stagingLimit` bytes; the first copy is submitted before this returns, so that it comes before
   * whatever is submitted next, unless another read is pending. Rejects with what the binding says.
   */
  read(tensors: readonly Tensor[]): Promise<ArrayBuffer[]> {
    const own = this.pending === 0 ? this.readAll(tensors) : this.last.then(() => this.readAll(tensors));
    this.pending += 1;
    // Whoever asked is told of a failure; the next one reads for himself.
    const settled = (): void => void (this.pending -= 1);
    this.last = own.then(settled, settled);
    return own;
  }

  /** Makes the staging buffer for so many bytes now, so that a later read makes none; while one is pending, with the next read. */
  reserve(bytes: number): void {
    this.reserved = Math.max(this.reserved, bytes);
    if (this.pending === 0) this.stagingFor(bytes);
  }

  private async readAll(tensors: readonly Tensor[]): Promise<ArrayBuffer[]> {
    const results = tensors.map(({ shape, type }) => new ArrayBuffer(byteLength(shape, type)));
    for (const batch of batches(tensors)) await this.readBatch(batch, results);
    return results;
  }

  private stagingFor(bytes: number): GPUBuffer {
    const wanted = Math.min(Math.max(bytes, this.reserved), stagingLimit);
    if (this.staging === undefined || this.staging.size < wanted) {
      if (this.staging !== undefined) this.device.destroyBuffer(this.staging);
      this.staging = this.device.createBuffer(wanted, 'read-back', GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
    }
    return this.staging;
  }

  private async readBatch(batch: readonly Piece[], results: readonly ArrayBuffer[]): Promise<void> {
    const total = batch.reduce((sum, { bytes }) => sum + bytes, 0);
    const staging = this.stagingFor(total);
    const encoder = this.device.gpu.createCommandEncoder();
    let offset = 0;
    for (const { buffer, from, bytes } of batch) {
      encoder.copyBufferToBuffer(buffer, from, staging, offset, bytes);
      offset += bytes;
    }
    this.device.submit(encoder);
    beginWait();
    await staging.mapAsync(GPUMapMode.READ, 0, total);
    const mapped = new Uint8Array(staging.getMappedRange(0, total));
    offset = 0;
    for (const { tensor, to, bytes } of batch) {
      const target = results[tensor];
      if (target !== undefined) new Uint8Array(target, to, bytes).set(mapped.subarray(offset, offset + bytes));
      offset += bytes;
    }
    staging.unmap();
  }
}

/** Cuts tensors into pieces, and pieces into batches that fit the staging buffer. */
function batches(tensors: readonly Tensor[]): Piece[][] {
  const result: Piece[][] = [[]];
  let space = stagingLimit;
  tensors.forEach(({ name, shape, type, memory }, tensor) => {
    if (!('buffer' in memory)) throw new RangeError(`${name} is not kept by its program: name it as an output`);
    const total = byteLength(shape, type);
    for (let to = 0; to < total;) {
      if (space === 0) {
        result.push([]);
        space = stagingLimit;
      }
      const bytes = Math.min(space, total - to);
      result.at(-1)?.push({ tensor, buffer: memory.buffer, from: memory.offset + to, to, bytes });
      to += bytes;
      space -= bytes;
    }
  });
  return result;
}
