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
export const operandParts: Readonly<Record<MatrixPrecision, number>> = { f16: 1, 'f32-split': 2 };

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

/** Up to so many rows or columns the other operand is read once: converting it beforehand would only be more to read. */
const fewLines = 64;

/** `by`: what the tape says (`tape.products`). Operands are converted as they are read where there are at most `few` rows or columns. */
export function matrixProduct(tape: Tape, by: MatrixProducts, product: WorkgroupProduct, few = fewLines): void {
  const { a, b, out, rows, columns, inner, kind, bias, addend, accumulate = false } = product;
  const operands = {
    a: { x: a, rows, inner, ...(kind === 'tn' ? { row: 1, step: rows } : { row: inner, step: 1 }) },
    b: { x: b, rows: columns, inner, ...(kind === 'nt' ? { row: inner, step: 1 } : { row: 1, step: columns }) },
  };
  const sum: MatrixSum = {
    a: operands.a,
    b: operands.b,
    bindings: {
      a_exponents: exponents(tape, by, operands.a),
      b_exponents: (kind === 'nt' ? tape.exponents?.of(operands.b) : undefined) ?? exponents(tape, by, operands.b),
      bias: bias ?? a,
      addend: addend ?? a,
      out,
    },
    params: {
      rows,
      columns,
      inner,
      adds: (bias === undefined ? 0 : 1) + (addend === undefined ? 0 : 2) + (accumulate ? 4 : 0),
    },
    constants: { ...by.shape, SUBGROUP: tape.device.adapter.subgroupMaxSize, PARTS: operandParts[by.precision] },
  };
  if (Math.min(rows, columns) > few) blockProduct(tape, by, sum);
  else convertingProduct(tape, sum);
}

/** A matrix whose rows are summed over: x[row, k] at row · `row` + k · `step`. */
export interface Operand {
  readonly x: Tensor;
  readonly rows: number;
  readonly inner: number;
  readonly row: number;
  readonly step: number;
}

/** What both kernels are told. */
interface MatrixSum {
  readonly a: Operand;
  readonly b: Operand;
  readonly bindings: Readonly<Record<'a_exponents' | 'b_exponents' | 'bias' | 'addend' | 'out', Tensor>>;
  readonly params: Readonly<Record<'rows' | 'columns' | 'inner' | 'adds', number>>;
  readonly constants: Readonly<Record<'M' | 'N' | 'K' | 'SUBGROUP' | 'PARTS', number>>;
}

/** Operands are converted as they are read. */
function convertingProduct(tape: Tape, { a, b, bindings, params, constants }: MatrixSum): void {
  const { constants: stored, scales } = packing(b.x);
  tape.launch({
    kernel: 'linear/matrix',
    constants: { ...constants, ...stored, A_ALONG: a.step === 1, B_ALONG: b.step === 1 },
    bindings: { a: a.x, b: b.x, scales, ...bindings },
    params: { ...params, a_row: a.row, a_inner: a.step, b_column: b.row, b_inner: b.step },
    groups: groupsOf(params, { rows: 64, columns: 64 }),
  });
}

/** Operands are converted once, and lie as they are loaded. */
function blockProduct(tape: Tape, by: MatrixProducts, { a, b, bindings, params, constants }: MatrixSum): void {
  const { M, N } = constants;
  const own = blockTiles(tape.device, by.precision, params);
  tape.launch({
    kernel: 'linear/matrix-blocks',
    constants: { ...constants, ...own },
    bindings: {
      a: converted(tape, by, a, M, bindings.a_exponents),
      b: converted(tape, by, b, N, bindings.b_exponents),
      ...bindings,
    },
    params,
    groups: groupsOf(params, { rows: own.OWN_ROWS * own.DOWN, columns: own.OWN_COLUMNS * own.ACROSS }),
  });
}

/** Outputs of each subgroup, and how many of these a workgroup has. What many tiles are enough for every core of the card is told by its tuning. */
export function blockTiles(
  { adapter, limits, tuning }: Device,
  precision: MatrixPrecision,
  { rows, columns }: Readonly<Record<'rows' | 'columns', number>>,
): Readonly<Record<'OWN_ROWS' | 'OWN_COLUMNS' | 'DOWN' | 'ACROSS', number>> {
  const isMany = Math.ceil(rows / 128) * Math.ceil(columns / 128) >= tuning.largeTilesFrom;
  const isRoom = 8 * adapter.subgroupMaxSize <= limits.maxComputeInvocationsPerWorkgroup;
  if (!isMany || !isRoom) return { OWN_ROWS: 32, OWN_COLUMNS: 32, DOWN: 2, ACROSS: 2 };
  // Sums of two parts take twice the registers.
  return { OWN_ROWS: precision === 'f16' ? 64 : 32, OWN_COLUMNS: 32, DOWN: 2, ACROSS: 4 };
}

export function groupsOf(
  { rows, columns }: Readonly<Record<'rows' | 'columns', number>>,
  tile: Readonly<Record<'rows' | 'columns', number>>,
): [number, number, number] {
  const lines = Math.ceil(rows / tile.rows);
  return [Math.ceil(columns / tile.columns), Math.min(lines, 65535), Math.ceil(lines / 65535)];
}

/** f16 [parts, blocks of `height` rows, blocks along k, height, K]. The rows lie in `pieces` one behind the other, each of them filled up to whole blocks. */
export function converted(
  tape: Tape,
  { precision, shape: { K } }: MatrixProducts,
  { x, rows, inner, row, step }: Operand,
  height: number,
  scaledBy: Tensor,
  pieces = 1,
): Tensor {
  const { constants, scales } = packing(x);
  const PARTS = operandParts[precision];
  const piece = inner / pieces;
  const shape = [Math.ceil(rows / height), pieces * Math.ceil(piece / K), height, K] as const;
  const out = tape.empty(`${x.name} in blocks`, [PARTS, ...shape], 'f16');
  tape.launch({
    kernel: 'linear/matrix-operand',
    constants: { ...constants, LINES: height, K, PARTS, ALONG: step === 1 },
    bindings: { x, scales, exponents: scaledBy, out },
    params: { rows, pieces, inner: piece, x_row: row, x_piece: piece * step, x_inner: step },
    groups: grid(Math.ceil(shape.reduce((count, length) => count * length, 1) / 2 / 64)),
  });
  return out;
}

/** By which power of two each line of an operand is multiplied. `isOperand`: x is what is multiplied, and counted as such. */
export function exponents(tape: Tape, by: MatrixProducts, operand: Operand, isOperand = true): Tensor {
  const out = tape.empty(`${operand.x.name} exponents`, [operand.rows], 'u32');
  findExponents(tape, by, operand, out, isOperand);
  return out;
}

/** The same into `out`, u32 [rows]. */
export function findExponents(
  tape: Tape,
  { precision, counts }: MatrixProducts,
  { x, rows, inner, row, step }: Operand,
  out: Tensor,
  isOperand = true,
): void {
  const { constants, scales } = packing(x);
  const ALONG = step === 1;
  tape.launch({
    kernel: 'linear/matrix-exponents',
    constants: { ...constants, ALONG, PARTS: operandParts[precision], COUNTED: isOperand },
    bindings: { x, scales, exponents: out, counts },
    tallies: ['counts'],
    params: { rows, inner, x_row: row, x_inner: step },
    groups: grid(ALONG ? rows : Math.ceil(rows / 64)),
  });
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
