/** What was lost of the values that a step multiplied on tensor cores: its numbers, and the guard that looks at them. */
import type { OperandCounts } from '../gpu/matrix-products.ts';
import type { Guards } from './guards.ts';

/** Shares of the operands of a step: `lost` were not 0 and were taken as 0, `broken` were NaN or infinite. */
export const operandMetrics = ['operands/lost', 'operands/broken'];

/** Adds up what updates count until a step takes it. */
export class OperandWatch {
  private readonly guards: Guards;
  private readonly largestShare: number;
  private sum: OperandCounts = { values: 0, lost: 0, broken: 0 };

  /** `largestShare`: of the values that may be lost before the guard acts. */
  constructor(guards: Guards, largestShare: number) {
    this.guards = guards;
    this.largestShare = largestShare;
  }

  add({ values, lost, broken }: OperandCounts): void {
    const { sum } = this;
    this.sum = { values: sum.values + values, lost: sum.lost + lost, broken: sum.broken + broken };
  }

  /** The numbers of a step, and the guard's look at them; nothing where nothing was multiplied on tensor cores. */
  take(step: number): Readonly<Record<string, number>> {
    const { largestShare } = this;
    const { values, lost, broken } = this.sum;
    this.sum = { values: 0, lost: 0, broken: 0 };
    if (values === 0) return {};
    if (lost > largestShare * values)
      this.guards.trip('underflow', {
        code: 'OPERANDS_LOST',
        message: `step ${step}: ${((100 * lost) / values).toFixed(1)} % of the values that were multiplied were taken as 0, so much smaller are they than the largest of their row (recipe.lostShare ${largestShare})`,
        hint: 'compare the loss with a run in recipe.precision f32, or use f32-split, which keeps 2^38',
      });
    return { 'operands/lost': lost / values, 'operands/broken': broken / values };
  }
}
