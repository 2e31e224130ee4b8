/** What was lost of the values that a step multiplied on tensor cores, in training and in drawing: its numbers, and the guard that looks at them. */
import type { OperandCounts } from '../gpu/matrix-products.ts';
import type { Guards } from './guards.ts';

type MultiplyingPhase = 'training' | 'drawing';

/** Shares of the operands of a step: `lost` were not 0 and were taken as 0, `broken` were NaN or infinite. */
export function operandMetrics(phase: MultiplyingPhase): readonly [lost: string, broken: string] {
  return phase === 'training'
    ? ['operands/lost', 'operands/broken']
    : ['operands/drawing/lost', 'operands/drawing/broken'];
}

/** Adds up what is counted until a step takes it. */
export class OperandWatch {
  private readonly phase: MultiplyingPhase;
  private readonly guards: Guards;
  private readonly largestShare: number;
  private sum: OperandCounts = { values: 0, lost: 0, broken: 0 };

  /** `largestShare`: of the values that may be lost before the guard acts. */
  constructor(phase: MultiplyingPhase, guards: Guards, largestShare: number) {
    this.phase = phase;
    this.guards = guards;
    this.largestShare = largestShare;
  }

  add({ values, lost, broken }: OperandCounts): void {
    const { sum } = this;
    this.sum = { values: sum.values + values, lost: sum.lost + lost, broken: sum.broken + broken };
  }

  /** The numbers of a step, and the guard's look at them; nothing where nothing was multiplied on tensor cores. */
  take(step: number): Readonly<Record<string, number>> {
    const { phase, largestShare } = this;
    const { values, lost, broken } = this.sum;
    this.sum = { values: 0, lost: 0, broken: 0 };
    if (values === 0) return {};
    if (lost > largestShare * values)
      this.guards.trip('underflow', {
        code: 'OPERANDS_LOST',
        message: `step ${step}: ${((100 * lost) / values).toFixed(1)} % of the values that ${phase} multiplied were taken as 0, so much smaller are they than the largest of their row or picture (recipe.lostShare ${largestShare})`,
        hint: `compare with a run in ${phase === 'training' ? 'recipe.precision' : 'recipe.samplingPrecision'} f32, or use f32-split, which keeps 2^38`,
      });
    const [lostName, brokenName] = operandMetrics(phase);
    return { [lostName]: lost / values, [brokenName]: broken / values };
  }
}
