/** How products with weights, of linear layers and convolutions, and attention are computed on subgroup matrices (tensor cores), and what of their operands was lost on the way. */
import type { Tensor } from '../tensor/tensor.ts';
import type { Device } from './device.ts';
import type { MatrixShape } from './subgroup-matrices.ts';

/** `f32`: by the f32 kernels. On tensor cores `f16`: operands rounded to 11 bits; `f32-split`: as two f16, which comes near f32. Sums are f32 in all of them. */
export const precisions = ['f32', 'f16', 'f32-split'] as const;
export type Precision = (typeof precisions)[number];
export type MatrixPrecision = Exclude<Precision, 'f32'>;

/** What products with weights are scaled by, kept from one to the next (`ops/weight-exponents.ts`). */
export interface KeptExponents {
  /** u32 [rows]; undefined for what is no weight. */
  of(operand: {
    readonly x: Tensor;
    readonly rows: number;
    readonly inner: number;
    readonly row: number;
    readonly step: number;
  }): Tensor | undefined;
}

/** Of the values that were multiplied, once more where they are computed again; of weights whose exponents are kept, once whenever those are found. */
export interface OperandCounts {
  readonly values: number;
  /** Not 0, and so much smaller than the largest of their row or picture that they were taken as 0. */
  readonly lost: number;
  /** NaN or infinite. */
  readonly broken: number;
}

export class MatrixProducts {
  readonly shape: MatrixShape;
  readonly precision: MatrixPrecision;
  /** u32 [3, 2], what `OperandCounts` says in two words each; kernels add to it. */
  readonly counts: Tensor;
  private readonly device: Device;

  constructor(device: Device, { M, N, K }: MatrixShape, precision: MatrixPrecision) {
    this.device = device;
    this.shape = { M, N, K };
    this.precision = precision;
    this.counts = device.tensor('operand counts', [3, 2], 'u32');
  }

  /** Since it was asked last. */
  async takeCounts(): Promise<OperandCounts> {
    const words = await this.device.readWords(this.counts);
    this.device.clear(this.counts);
    const [values = 0, lost = 0, broken = 0] = [0, 2, 4].map(
      (place) => (words[place] ?? 0) + (words[place + 1] ?? 0) * 2 ** 32,
    );
    return { values, lost, broken };
  }

  close(): void {
    this.device.destroyTensor(this.counts);
  }
}
