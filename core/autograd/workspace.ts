/**
 * Buffers that the programs of one run share: their memory holds nothing between two runs of a program. Each program needs its planned
 * sizes; the workspace holds, size by size from the largest, the most that any of them needs. A later, larger program makes it
 * grow: buffers that have become too small are replaced, and programs bound to them bind again before their next run. What it
 * costs so depends on which programs there are, never on the order in which they were recorded.
 */
import type { Device } from '../gpu/device.ts';
import type { KeptExponents, MatrixProducts } from '../gpu/matrix-products.ts';
import { at } from '../tensor/at.ts';

/** Memory for the values of programs, which take turns in it, and how their products are computed. Open one for all tapes of a run. */
export class Workspace {
  /** Products with weights, of linear layers and convolutions, and attention go to tensor cores; undefined: to the f32 kernels. */
  readonly products: MatrixProducts | undefined;
  /** What products with weights are scaled by on tensor cores; undefined: it is found at each product. */
  readonly exponents: KeptExponents | undefined;
  private readonly pool: Pool;

  constructor(device: Device, products?: MatrixProducts, exponents?: KeptExponents, pool = new Pool(device)) {
    this.products = products;
    this.exponents = exponents;
    this.pool = pool;
  }

  get device(): Device {
    return this.pool.device;
  }

  /** The same memory for programs whose products are computed otherwise. */
  with(products: MatrixProducts | undefined, exponents?: KeptExponents): Workspace {
    return new Workspace(this.device, products, exponents, this.pool);
  }

  /** Changes when a buffer is replaced. */
  get generation(): number {
    return this.pool.generation;
  }

  get bytes(): number {
    return this.pool.bytes;
  }

  /** Grows until one distinct buffer per size is there. */
  reserve(sizes: readonly number[]): void {
    this.pool.reserve(sizes);
  }

  /** One distinct buffer per size, in the order of the sizes; `reserve` must have been called with them. */
  take(sizes: readonly number[]): GPUBuffer[] {
    return this.pool.take(sizes);
  }

  /** Gives the memory back until a program is run again; it holds nothing between two runs. What it returns takes it again at once. */
  rest(): () => void {
    return this.pool.rest();
  }

  close(): void {
    this.pool.close();
  }
}

class Pool {
  readonly device: Device;
  /** Largest first. */
  private readonly buffers: GPUBuffer[] = [];
  /** Sizes of buffers that were given back and are made again when a program needs them. */
  private resting: readonly number[] = [];
  generation = 0;

  constructor(device: Device) {
    this.device = device;
  }

  get bytes(): number {
    return this.buffers.reduce((sum, { size }) => sum + size, 0);
  }

  reserve(sizes: readonly number[]): void {
    this.wake();
    sizes
      .toSorted((a, b) => b - a)
      .forEach((bytes, rank) => {
        const known = this.buffers[rank];
        if (known !== undefined && known.size >= bytes) return;
        if (known !== undefined) {
          // Submitted work that uses it still ends: WebGPU frees the memory after it.
          this.device.destroyBuffer(known);
          this.generation += 1;
        }
        this.buffers[rank] = this.device.createBuffer(bytes, 'workspace');
      });
  }

  take(sizes: readonly number[]): GPUBuffer[] {
    this.wake();
    const taken: GPUBuffer[] = new Array(sizes.length);
    const order = sizes.map((_, index) => index).sort((a, b) => at(sizes, b) - at(sizes, a));
    order.forEach((index, rank) => {
      const buffer = this.buffers[rank];
      if (buffer === undefined || buffer.size < at(sizes, index))
        throw new RangeError('the workspace was not reserved for these sizes');
      taken[index] = buffer;
    });
    return taken;
  }

  rest(): () => void {
    if (this.resting.length === 0) this.resting = this.buffers.map(({ size }) => size);
    this.close();
    return () => this.wake();
  }

  private wake(): void {
    const sizes = this.resting;
    if (sizes.length === 0) return;
    this.resting = [];
    this.reserve(sizes);
  }

  close(): void {
    for (const buffer of this.buffers) this.device.destroyBuffer(buffer);
    this.buffers.length = 0;
    this.generation += 1;
  }
}
