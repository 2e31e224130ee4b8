/**
 * Attention on tensor cores, where the workspace says so: every line (a head of a row of q, k, v or dOut) is scaled by a power of two of its own and
 * written as one f16 (`f16`) or two (`f32-split`); probabilities and their derivatives likewise, by a power of two of their row within a tile of 32
 * keys. Sums, scores and the softmax are f32.
 *
 * What a row comes to depends on itself and on the keys that it sees alone, to the bit: tiles begin where its segment begins, and what it does not see
 * is multiplied by zero, having been made finite before. A key's gradient depends on the rows that see it and on what these see.
 *
 * Derivatives dS = p · (dOut·v − delta) cancel where the values that a row sees have much in common; delta is that of the rounded dOut, so that its
 * rounding cancels as well. What rounding of v and p leaves is, in `f16`, about 2^-11 of what cancelled.
 *
 * A row that sees a key or value with NaN or infinity is NaN as a whole, where the f32 kernels break single columns or, for −∞, none.
 */
import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import type { KernelConstants } from '../gpu/kernel.ts';
import type { MatrixProducts } from '../gpu/matrix-products.ts';
import { dimension, type Tensor } from '../tensor/tensor.ts';
import { operandParts } from './linear-matrix.ts';

/** Wider heads stay with the f32 kernels: what a thread holds of them grows with the head. */
export const widestMatrixHead = 128;

/** What each of the kernels is told. */
export function matrixConstants(tape: Tape, { shape, precision }: MatrixProducts, HEAD: number): KernelConstants {
  return { ...shape, SUBGROUP: tape.device.adapter.subgroupMaxSize, PARTS: operandParts[precision], HEAD };
}

/** How a line is written. */
export function operandConstants({ shape, precision }: MatrixProducts, HEAD: number) {
  const grain = Math.max(shape.K, shape.N);
  return { HEAD, DEPTH: Math.ceil(HEAD / grain) * grain, PARTS: operandParts[precision] };
}

/** x [rows, heads · head] as `kernels/attention/matrix-operand.wgsl` writes it. */
export function matrixOperand(tape: Tape, by: MatrixProducts, x: Tensor, HEAD: number): Tensor {
  const rows = dimension(x, 0);
  const heads = dimension(x, -1) / HEAD;
  const constants = operandConstants(by, HEAD);
  const { PARTS, DEPTH } = constants;
  const lines = heads * (rows + 32);
  const out = tape.empty(`${x.name} in parts`, [lines * (PARTS * DEPTH + 1)], 'f16');
  tape.launch({
    kernel: 'attention/matrix-operand',
    constants,
    bindings: { x, out, counts: by.counts },
    tallies: ['counts'],
    params: { rows, heads },
    groups: grid(Math.ceil(lines / 8)),
  });
  return out;
}
