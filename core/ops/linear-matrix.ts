/**
 * The products of `linear` on tensor cores, where the workspace says so: operands as one f16 (`f16`) or two (`f32-split`), sums in f32.
 * Every row of a and every column of b is scaled by a power of two of its own first, so that neither large nor small values are lost, and what
 * a row comes to does not depend on its neighbors.
 *
 * What an output may be wrong by is `matrixErrorBound`. An infinite operand makes what it meets infinite or, in `f32-split`, NaN.
 */
import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import type { Device } from '../gpu/device.ts';
import type { MatrixPrecision, MatrixProducts } from '../gpu/matrix-products.ts';
import { matrixFeature, type MatrixShape } from '../gpu/subgroup-matrices.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { WorkgroupProduct } from './linear-workgroup.ts';
import { packing } from './weight-rows.ts';

/** Of the f16 that an operand is written as. */
const partsOf: Readonly<Record<MatrixPrecision, number>> = { f16: 1, 'f32-split': 2 };

/** f16 → f32 in a shape that the kernel's tile is made of, the largest first. */
export function usableShapes({ adapter }: Pick<Device, 'adapter'>): MatrixShape[] {
  const { features, matrices, subgroupMaxSize } = adapter;
  if (![matrixFeature, 'shader-f16', 'subgroups'].every((name) => features.includes(name))) return [];
  if (![4, 8, 16, 32, 64].includes(subgroupMaxSize)) return [];
  return matrices
    .filter(({ operands, sums, M, N, K }) => {
      const isWhole = 32 % M === 0 && 32 % N === 0 && 16 % K === 0 && (M * N) % subgroupMaxSize === 0;
      return operands === 'f16' && sums === 'f32' && isWhole;
    })
    .map(({ M, N, K }) => ({ M, N, K }))
    .sort((one, other) => other.M * other.N * other.K - one.M * one.N * one.K);
}

/** In words, where `usableShapes` finds none. */
export function whyNoMatrices({ adapter }: Pick<Device, 'adapter'>): string {
  const { features, matrices, description } = adapter;
  if (!features.includes(matrixFeature)) return `${description} offers no subgroup matrices`;
  if (!features.includes('shader-f16')) return `${description} offers no f16`;
  if (!features.includes('subgroups')) return 'subgroups are not used';
  return `${description} lists no matrices of f16 that sum in f32 (${matrices.length} others)`;
}

/** `by`: what the tape says (`tape.products`). */
export function matrixProduct(tape: Tape, by: MatrixProducts, product: WorkgroupProduct): void {
  const { a, b, out, rows, columns, inner, kind, bias, addend, accumulate = false } = product;
  const PARTS = partsOf[by.precision];
  const { constants, scales } = packing(b);
  const strides = {
    ...(kind === 'tn' ? { a_row: 1, a_inner: rows } : { a_row: inner, a_inner: 1 }),
    ...(kind === 'nt' ? { b_column: inner, b_inner: 1 } : { b_column: 1, b_inner: columns }),
  };
  const lines = Math.ceil(rows / 64);
  tape.launch({
    kernel: 'linear/matrix',
    constants: {
      ...by.shape,
      ...constants,
      SUBGROUP: tape.device.adapter.subgroupMaxSize,
      PARTS,
      A_ALONG: kind !== 'tn',
      B_ALONG: kind === 'nt',
    },
    bindings: {
      a,
      a_exponents: exponents(tape, by, a, { rows, inner, row: strides.a_row, step: strides.a_inner }),
      b,
      b_exponents: exponents(tape, by, b, { rows: columns, inner, row: strides.b_column, step: strides.b_inner }),
      scales,
      bias: bias ?? a,
      addend: addend ?? a,
      out,
    },
    params: {
      rows,
      columns,
      inner,
      adds: (bias === undefined ? 0 : 1) + (addend === undefined ? 0 : 2) + (accumulate ? 4 : 0),
      ...strides,
    },
    groups: [Math.ceil(columns / 64), Math.min(lines, 65535), Math.ceil(lines / 65535)],
  });
}

/** By which power of two each line of an operand is multiplied; `row` and `step` are its strides. */
function exponents(
  tape: Tape,
  { precision, counts }: MatrixProducts,
  x: Tensor,
  { rows, inner, row, step }: Readonly<Record<'rows' | 'inner' | 'row' | 'step', number>>,
): Tensor {
  const { constants, scales } = packing(x);
  const ALONG = step === 1;
  const out = tape.empty(`${x.name} exponents`, [rows], 'u32');
  tape.launch({
    kernel: 'linear/matrix-exponents',
    constants: { ...constants, ALONG, PARTS: partsOf[precision] },
    bindings: { x, scales, exponents: out, counts },
    params: { rows, inner, x_row: row, x_inner: step },
    groups: grid(ALONG ? rows : Math.ceil(rows / 64)),
  });
  return out;
}

/**
 * The largest error that an output may have, for the sum of magnitudes Σ|a·b| of its K products, the sums Σ|a| and Σ|b| and the largest
 * magnitudes A and B of its row and column. An operand is rounded to 11 bits, to 22 in `f32-split`, which leaves out the product of two second
 * parts as well; what is 2^27 (2^38) times smaller than the largest of its row is lost; each of K additions in f32 may cut off a bit, as tensor cores
 * do. Holds where A and B are at least 2^-113.
 */
export function matrixErrorBound(
  precision: MatrixPrecision,
  { products, a, b, A, B, K }: Readonly<Record<'products' | 'a' | 'b' | 'A' | 'B' | 'K', number>>,
): number {
  const isSplit = precision === 'f32-split';
  const rounding = isSplit ? 3.01 * 2 ** -22 : 2.01 * 2 ** -11;
  const lost = isSplit ? 2 ** -38 : 2 ** -27;
  return products * (rounding + (K + 4) * 2 ** -23) + lost * (A * b + B * a);
}
