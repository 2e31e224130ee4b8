/** A product on subgroup matrices and what float64 makes of it, for the tests of the kernel and of kernels that are wrong. */
import { Tape } from '../../core/autograd/tape.ts';
import { Workspace } from '../../core/autograd/workspace.ts';
import type { Device } from '../../core/gpu/device.ts';
import type { MatrixPrecision, MatrixProducts } from '../../core/gpu/matrix-products.ts';
import { matrixErrorBound, matrixProduct } from '../../core/ops/linear-matrix.ts';
import type { Tensor } from '../../core/tensor/tensor.ts';
import { at, randomStream } from '../../core/testing.ts';

/** Of both signs, most values of one size and some far smaller, the rows of sizes apart. */
export function spreadValues(rows: number, inner: number, seed: number): Float32Array {
  const random = randomStream(seed);
  return Float32Array.from({ length: rows * inner }, (_, index) => {
    const row = Math.floor(index / inner);
    const value = (random() * 2 - 1) * 2 ** (((row * 11) % 61) - 30);
    return random() < 0.2 ? value * 2 ** -Math.floor(random() * 40) : value;
  });
}

export interface Sizes {
  readonly rows: number;
  readonly columns: number;
  readonly inner: number;
}
export type Kind = 'nt' | 'nn' | 'tn';

/** a · b of a kind in float64, beside what the bound of each output is made of. */
export function exactly(kind: Kind, a: Float32Array, b: Float32Array, { rows, columns, inner }: Sizes) {
  const left = (row: number, k: number): number => at(a, kind === 'tn' ? k * rows + row : row * inner + k);
  const right = (column: number, k: number): number => at(b, kind === 'nt' ? column * inner + k : k * columns + column);
  return Array.from({ length: rows * columns }, (_, index) => {
    const [row, column] = [Math.floor(index / columns), index % columns];
    const sums = { products: 0, a: 0, b: 0, A: 0, B: 0, K: inner };
    let value = 0;
    for (let k = 0; k < inner; k++) {
      const [x, y] = [left(row, k), right(column, k)];
      value += x * y;
      sums.products += Math.abs(x * y);
      sums.a += Math.abs(x);
      sums.b += Math.abs(y);
      sums.A = Math.max(sums.A, Math.abs(x));
      sums.B = Math.max(sums.B, Math.abs(y));
    }
    return { value, sums };
  });
}

/** What stands behind a result and must stay. */
const guard = 12345.5;
const guardRows = 70;

interface Run {
  readonly device: Device;
  readonly kind: Kind;
  readonly sizes: Sizes;
  readonly a: Float32Array;
  readonly b: Float32Array;
  readonly products: MatrixProducts;
  readonly bias?: Float32Array;
  readonly addend?: Float32Array;
  readonly before?: Float32Array;
  /** Instead of the kernel of the program that comes last, or of that of a name. */
  readonly kernel?: URL;
  readonly insteadOf?: string;
  /** Up to so many rows or columns operands are converted as they are read. */
  readonly fewLines?: number;
}

/** The rows of the result and, behind them, what was there. */
export async function multiply({
  device,
  kind,
  sizes,
  a,
  b,
  products,
  bias,
  addend,
  before,
  kernel,
  insteadOf,
  fewLines,
}: Run): Promise<Float32Array> {
  const { rows, columns, inner } = sizes;
  const workspace = new Workspace(device);
  const tape = new Tape(workspace);
  const made: Tensor[] = [];
  const make = (name: string, shape: number[], data: Float32Array): Tensor => {
    const tensor = device.tensor(name, shape, 'f32', data);
    made.push(tensor);
    return tensor;
  };
  const start = new Float32Array((rows + guardRows) * columns).fill(guard);
  start.set(before ?? new Float32Array(rows * columns).fill(-guard));
  // The kernel is told of `rows` rows; the binding holds more, so that robust access hides nothing.
  const out = make('out', [rows + guardRows, columns], start);
  matrixProduct(
    tape,
    products,
    {
      a: make('a', kind === 'tn' ? [inner, rows] : [rows, inner], a),
      b: make('b', kind === 'nt' ? [columns, inner] : [inner, columns], b),
      out,
      ...sizes,
      kind,
      bias: bias && make('bias', [columns], bias),
      addend: addend && make('addend', [rows, columns], addend),
      accumulate: before !== undefined,
    },
    fewLines,
  );
  if (kernel !== undefined) {
    const steps = tape.recorded as unknown as { kernel?: string | URL }[];
    steps.forEach((step, place) => {
      const isMeant = insteadOf === undefined ? place === steps.length - 1 : step.kernel === insteadOf;
      if (isMeant) steps[place] = { ...step, kernel };
    });
  }
  const program = await tape.finish('matrix product');
  program.run();
  const found = await device.readFloats(out);
  program.dispose();
  workspace.close();
  for (const tensor of made) device.destroyTensor(tensor);
  return found;
}

/** The worst error as a share of what the bound allows, infinite for a guard that was written. */
export function worst(
  found: Float32Array,
  kind: Kind,
  a: Float32Array,
  b: Float32Array,
  sizes: Sizes,
  precision: MatrixPrecision,
): number {
  const exact = exactly(kind, a, b, sizes);
  const shares = exact.map(({ value, sums }, index) => {
    const error = Math.abs(at(found, index) - value);
    return error === 0 ? 0 : error / matrixErrorBound(precision, sums);
  });
  if (shares.some((share) => Number.isNaN(share))) return Number.NaN;
  return found.subarray(exact.length).every((value) => value === guard)
    ? Math.max(...shares)
    : Number.POSITIVE_INFINITY;
}
