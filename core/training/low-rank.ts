/** Low-rank adapters beside frozen weights: their parameters, the weights that carry them, and their form in a checkpoint. */
import { AdaptedWeights, adapterSpecs, isAdapterName } from '../weights/adapters.ts';
import { ParameterSet } from '../weights/parameters.ts';
import type { ParameterSpec, Weights } from '../contracts/backbone.ts';
import type { Device, Scalar } from '../gpu/device.ts';
import { ReasongenError, exitCodes } from '../errors.ts';
import { adapterConfigText } from '../io/weight-files/low-rank.ts';
import { matcher, refuseIdle } from './name-patterns.ts';
import type { LoraOptions } from './options.ts';

export class LowRank {
  readonly adapters: ParameterSet;
  private readonly options: LoraOptions;
  private readonly base: Weights;
  /** What the dropout of a pass is drawn from. */
  private readonly dropoutSeed: Scalar;

  constructor(device: Device, specs: readonly ParameterSpec[], base: Weights, options: LoraOptions, seed: number) {
    const matrices = specs.filter(({ shape }) => shape.length === 2).map(({ name }) => name);
    refuseIdle('recipe.lora.target', options.target, matrices);
    this.options = options;
    this.base = base;
    this.adapters = new ParameterSet(
      device,
      adapterSpecs(specs, { match: matcher(options.target), rank: options.rank }),
      { seed, trainable: () => true },
    );
    this.dropoutSeed = device.scalar('adapter dropout seed', 0, 'u32');
  }

  /** Weights with adapters; the adapters may be averages. With `dropout`, for what is recorded to learn from. */
  weights(adapters: Weights = this.adapters, dropout = false): Weights {
    const { target, rank, alpha, dropout: share } = this.options;
    const noise = dropout && share > 0 ? { dropout: { share, seed: this.dropoutSeed.tensor } } : {};
    return new AdaptedWeights(this.base, adapters, { match: matcher(target), rank, alpha, ...noise });
  }

  /** Sets what the next pass leaves out. */
  prepare(seed: number): void {
    this.dropoutSeed.set(seed);
  }

  /** adapter_config.json for adapters to the weights at `base`. */
  configText(base: string, baseHash: string): string {
    const { rank, alpha, dropout } = this.options;
    const modules = this.adapters.names
      .filter((name) => name.endsWith('.lora_A.weight'))
      .map((name) => name.replace('.lora_A.weight', ''));
    return adapterConfigText({ rank, alpha, dropout, base, baseHash }, modules);
  }

  close(): void {
    this.adapters.device.destroyTensor(this.dropoutSeed.tensor);
    this.adapters.close();
  }
}

/** Adapters need weights to belong to, and leave nothing else to train. */
export function refuseUnfit(
  options: {
    readonly weights?: string | undefined;
    readonly train?: readonly string[];
    readonly freeze?: readonly string[];
  },
  specs: readonly ParameterSpec[],
): void {
  const { weights, train = ['*'], freeze = [] } = options;
  const wrong = (message: string, hint: string): ReasongenError =>
    new ReasongenError({ code: 'LORA_OPTIONS', message, hint, exitCode: exitCodes.badPreset });
  if (weights === undefined)
    throw wrong(
      'recipe.lora trains adapters to weights, and recipe.weights names none',
      'name a checkpoint in recipe.weights',
    );
  if (train.join() !== '*' || freeze.length > 0)
    throw wrong(
      'with recipe.lora only adapters are trained, so recipe.train and recipe.freeze say nothing',
      'leave them out; recipe.lora.target chooses the matrices',
    );
  const taken = specs.find(({ name }) => isAdapterName(name));
  if (taken !== undefined) throw new RangeError(`${taken.name} is named like an adapter`);
}
