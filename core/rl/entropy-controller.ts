/**
 * Holds the entropy of a policy near a target by adapting the coefficient α of α · H in the loss (ReasonGen-R1, adaptive
 * entropy): α = sinh ψ, and ψ follows Adam on J = -α (H - H*), so dJ/dψ = -(H - H*) cosh ψ. Entropy above the target makes
 * α grow, which penalizes entropy; below it α turns negative and rewards it.
 */
export interface EntropyControllerOptions {
  /** H*, nats per token. */
  readonly target: number;
  readonly learningRate: number;
  readonly minimum: number;
  readonly maximum: number;
  /** α to start from; 0 by default. */
  readonly initial?: number;
}

/** Everything a resumed run needs. */
export interface EntropyControllerState {
  readonly psi: number;
  readonly firstMoment: number;
  readonly secondMoment: number;
  readonly updates: number;
}

const beta1 = 0.9;
const beta2 = 0.999;
const epsilon = 1e-8;

export class EntropyController {
  private readonly options: EntropyControllerOptions;
  private psi: number;
  private firstMoment = 0;
  private secondMoment = 0;
  private updates = 0;

  constructor(options: EntropyControllerOptions) {
    const { target, learningRate, minimum, maximum, initial = 0 } = options;
    if (![target, learningRate, minimum, maximum, initial].every(Number.isFinite))
      throw new RangeError('an entropy controller takes finite numbers');
    if (minimum > maximum || initial < minimum || initial > maximum)
      throw new RangeError(`coefficient ${initial} is not within ${minimum} … ${maximum}`);
    this.options = options;
    this.psi = Math.asinh(initial);
  }

  /** α for the next update of the policy. */
  get coefficient(): number {
    return Math.sinh(this.psi);
  }

  /** Takes the mean entropy of the tokens just trained on, in nats. */
  update(entropy: number): void {
    if (!Number.isFinite(entropy)) throw new RangeError(`entropy is ${entropy}`);
    const { target, learningRate, minimum, maximum } = this.options;
    const slope = -(entropy - target) * Math.cosh(this.psi);
    this.updates += 1;
    this.firstMoment = beta1 * this.firstMoment + (1 - beta1) * slope;
    this.secondMoment = beta2 * this.secondMoment + (1 - beta2) * slope * slope;
    const first = this.firstMoment / (1 - beta1 ** this.updates);
    const second = this.secondMoment / (1 - beta2 ** this.updates);
    const next = Math.sinh(this.psi - (learningRate * first) / (Math.sqrt(second) + epsilon));
    this.psi = Math.asinh(Math.min(maximum, Math.max(minimum, next)));
  }

  state(): EntropyControllerState {
    const { psi, firstMoment, secondMoment, updates } = this;
    return { psi, firstMoment, secondMoment, updates };
  }

  restore({ psi, firstMoment, secondMoment, updates }: EntropyControllerState): void {
    Object.assign(this, { psi, firstMoment, secondMoment, updates });
  }
}
