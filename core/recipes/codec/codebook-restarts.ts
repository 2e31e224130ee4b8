/** Keeps every code of a codebook in use while it is trained: a start from latents, then restarts of what nothing chooses. */
import type { Json } from '../../io/checkpoint.ts';
import type { Device } from '../../gpu/device.ts';
import { philox } from '../../tensor/philox.ts';
import { dimension, type Tensor } from '../../tensor/tensor.ts';
import { at } from '../../tensor/at.ts';

export interface CodeKeeperOptions {
  readonly seed: number;
  readonly steps: number;
  readonly startCodesAt: number;
  readonly restartEvery: number;
  /** Share of the steps. */
  readonly restartUntil: number;
}

/** Keeps the draws of the start apart from other uses of the run's seed. */
const startStream = 0xc0de;

export class CodeKeeper {
  private readonly device: Device;
  private readonly codebook: Tensor;
  private readonly options: CodeKeeperOptions;
  /** Codes not chosen since the last restart. */
  private unused: Set<number>;

  /** `state` is that of a former keeper, from a checkpoint. */
  constructor(device: Device, codebook: Tensor, options: CodeKeeperOptions, state?: Json) {
    this.device = device;
    this.codebook = codebook;
    this.options = options;
    this.unused = Array.isArray(state) ? new Set(state.map(Number)) : this.all();
  }

  get state(): Json {
    return [...this.unused];
  }

  /**
   * After a step: notes which codes [N] were chosen and sets codes anew when it is time. `latent` [N, D] is normalized, `losses` [N]
   * say how badly each is served. Returns how many codes were set. Their optimizer moments stay: they decay within a few steps.
   */
  after(step: number, codes: Uint32Array, latent: Float32Array, losses: Float32Array): number {
    for (const code of codes) this.unused.delete(code);
    const { startCodesAt, restartEvery, restartUntil, steps } = this.options;
    if (step === startCodesAt) {
      const order = this.shuffled(codes.length);
      return this.set([...this.all()], order, latent);
    }
    if (step < startCodesAt || step % restartEvery !== 0 || step > restartUntil * steps) return 0;
    const worstFirst = [...losses.keys()].sort((a, b) => at(losses, b) - at(losses, a));
    return this.set([...this.unused], worstFirst, latent);
  }

  /** Sets the given codes to the rows of `latent` in this order, and starts counting anew. */
  private set(codes: readonly number[], rows: readonly number[], latent: Float32Array): number {
    const size = dimension(this.codebook, 1);
    if (!('buffer' in this.codebook.memory)) throw new RangeError('a codebook is a weight');
    const { buffer, offset } = this.codebook.memory;
    const count = Math.min(codes.length, rows.length);
    for (let i = 0; i < count; i++) {
      const row = at(rows, i);
      const place = { buffer, offset: offset + at(codes, i) * size * 4 };
      this.device.write({ ...this.codebook, shape: [size], memory: place }, latent.slice(row * size, (row + 1) * size));
    }
    this.unused = this.all();
    return count;
  }

  private all(): Set<number> {
    return new Set(Array.from({ length: dimension(this.codebook, 0) }, (_, code) => code));
  }

  /** The numbers below `count` in a random order that depends on the seed only. */
  private shuffled(count: number): number[] {
    const keyed = Array.from({ length: count }, (_, index) => ({
      index,
      key: philox([index, 0, 0, startStream], [this.options.seed, 0])[0],
    }));
    return keyed.sort((a, b) => a.key - b.key || a.index - b.index).map(({ index }) => index);
  }
}
