/** Low-rank adapters for chosen matrices of a model (LoRA, Hu et al. 2021): their parameters, and weights that carry them. */
import type { ParameterSpec, Weights } from '../contracts/backbone.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { nameKey } from './initial-values.ts';

export interface AdapterOptions {
  /** Which matrices get an adapter, by name. */
  readonly match: (name: string) => boolean;
  readonly rank: number;
}

export interface AdapterUse extends AdapterOptions {
  /** The product of both matrices counts alpha / rank. */
  readonly alpha: number;
  /** Share of the inputs that a training step leaves out, and its seed, u32 [1]; absent when nothing is trained. */
  readonly dropout?: { readonly share: number; readonly seed: Tensor };
}

/** Names as PEFT gives them, without its prefix: "x.weight" → "x.lora_A.weight" [rank, in] and "x.lora_B.weight" [out, rank]. */
export function adapterNames(name: string): { readonly down: string; readonly up: string } {
  const stem = name.replace(/\.weight$/, '');
  return { down: `${stem}.lora_A.weight`, up: `${stem}.lora_B.weight` };
}

/** Whether a name is that of a low-rank adapter’s matrix, as `adapterNames` gives them. */
export function isAdapterName(name: string): boolean {
  return /\.lora_[AB]\.weight$/.test(name);
}

/** The adapters' parameters; only two-dimensional weights can have one. `up` begins at zero, so that the model begins unchanged. */
export function adapterSpecs(specs: readonly ParameterSpec[], { match, rank }: AdapterOptions): ParameterSpec[] {
  return specs
    .filter(({ name, shape }) => shape.length === 2 && match(name))
    .flatMap(({ name, shape: [rows = 0, inner = 0] }): ParameterSpec[] => {
      const { down, up } = adapterNames(name);
      return [
        // The variance of PEFT's first values: uniform in ±1/√in.
        { name: down, shape: [rank, inner], init: { normal: 1 / Math.sqrt(3 * inner) }, exact: true },
        { name: up, shape: [rows, rank], init: { constant: 0 }, exact: true },
      ];
    });
}

/** The weights of `base` with the adapters of `adapters` on those that match; both may be one set. */
export class AdaptedWeights implements Weights {
  private readonly base: Weights;
  private readonly adapters: Weights;
  private readonly use: AdapterUse;

  constructor(base: Weights, adapters: Weights, use: AdapterUse) {
    this.base = base;
    this.adapters = adapters;
    this.use = use;
  }

  get(name: string): Tensor {
    const weight = this.base.get(name);
    const { match, rank, alpha, dropout } = this.use;
    if (weight.shape.length !== 2 || isAdapterName(name) || !match(name)) return weight;
    const names = adapterNames(name);
    const adapter = { down: this.adapters.get(names.down), up: this.adapters.get(names.up), scale: alpha / rank };
    return {
      ...weight,
      adapter:
        dropout === undefined || dropout.share === 0
          ? adapter
          : { ...adapter, dropout: { ...dropout, key: nameKey(0, name) } },
    };
  }
}
