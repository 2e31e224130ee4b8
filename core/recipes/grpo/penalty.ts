/** A divergence from the reference as part of the reward: β times its sum over the tokens of a drawing. */
import type { DivergenceEstimator } from '../../ops/policy-objective.ts';
import type { KlController } from '../../rl/kl-controller.ts';
import { chosenTokens, type Completion } from './completions.ts';
import type { GrpoOptions } from './options.ts';
import type { Reference } from './reference.ts';
import { at } from '../../tensor/at.ts';

export class Penalty {
  readonly isUsed: boolean;
  private readonly choice: GrpoOptions;
  private readonly kl: KlController | undefined;
  private readonly reference: Reference | undefined;
  private tokens = 0;
  private sum = 0;
  private drawings = 0;
  /** Of the last step, nats per token. */
  private mean = 0;

  constructor(choice: GrpoOptions, kl: KlController | undefined, reference: Reference | undefined) {
    this.choice = choice;
    this.kl = kl;
    this.reference = reference;
    this.isUsed = choice.kl?.place === 'reward' && reference !== undefined;
  }

  /** What to subtract from the reward of each drawing. */
  readonly of = async (completions: readonly Completion[]): Promise<number[]> => {
    const { kl, reference, choice } = this;
    if (kl === undefined || reference === undefined) throw new RangeError('there is no reference');
    const scored = await reference.score(completions);
    return completions.map((completion, index) => {
      const tokens = chosenTokens(completion, choice);
      const sum = tokens.reduce(
        (total, token) =>
          total +
          divergence(
            choice.kl?.estimator ?? 'k3',
            at(completion.sequence.logProbability, token),
            at(at(scored, index), token),
          ),
        0,
      );
      this.sum += sum;
      this.tokens += tokens.length;
      this.drawings += 1;
      return kl.coefficient * sum;
    });
  };

  /** Ends a step: the controller learns of its drawings. Once a step, behind the last of them. */
  endStep(): void {
    if (!this.isUsed) return;
    this.mean = this.sum / Math.max(1, this.tokens);
    this.kl?.update(this.mean, this.drawings);
    [this.sum, this.tokens, this.drawings] = [0, 0, 0];
  }

  /** Of the last step that ended. */
  metrics(): Record<string, number> {
    if (!this.isUsed || this.kl === undefined) return {};
    return { referenceKl: this.mean, klCoefficient: this.kl.coefficient };
  }
}

/** As `kernels/policy-objective`: k3 goes on as a straight line where its exponential would leave all else behind. */
export function divergence(estimator: DivergenceEstimator, logProbability: number, reference: number): number {
  const d = reference - logProbability;
  if (estimator === 'k1') return -d;
  if (estimator === 'k2') return (d * d) / 2;
  const reached = Math.min(d, 10);
  return Math.expm1(reached) - d + Math.exp(reached) * Math.max(d - 10, 0);
}
