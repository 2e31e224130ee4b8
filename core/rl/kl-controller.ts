/**
 * The coefficient β of the divergence from a reference: fixed, or adapted so that the divergence stays near a target (Ziegler et
 * al. 2019, "Fine-tuning language models from human preferences": proportional, the error cut to ± 0.2).
 */
export interface KlControllerOptions {
  readonly coefficient: number;
  /** Divergence to hold, nats per token; fixed without one. */
  readonly target?: number | undefined;
  /** Drawings over which the coefficient may change by its own size at an error of 1. */
  readonly horizon: number;
}

export class KlController {
  private readonly options: KlControllerOptions;
  private current: number;

  constructor(options: KlControllerOptions) {
    const { coefficient, target = 1, horizon } = options;
    if (!(coefficient >= 0) || !(target > 0) || !(horizon > 0))
      throw new RangeError(`a KL controller with coefficient ${coefficient}, target ${target}, horizon ${horizon}`);
    this.options = options;
    this.current = coefficient;
  }

  get coefficient(): number {
    return this.current;
  }

  /** Takes the mean divergence of the drawings just trained on. */
  update(divergence: number, drawings: number): void {
    const { target, horizon } = this.options;
    if (target === undefined) return;
    if (!Number.isFinite(divergence)) throw new RangeError(`divergence is ${divergence}`);
    const error = Math.min(0.2, Math.max(-0.2, divergence / target - 1));
    this.current *= 1 + (error * drawings) / horizon;
  }

  state(): { readonly coefficient: number } {
    return { coefficient: this.current };
  }

  restore({ coefficient }: { readonly coefficient: number }): void {
    if (this.options.target !== undefined) this.current = coefficient;
  }
}
