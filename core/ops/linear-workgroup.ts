/**
 * The products of `linear` on a GPU: tiles in workgroup memory, and a kernel of its own for few rows. All of them, for weights of
 * every storage, add in one order, so that a row has the same bits in every batch.
 */
import type { Tape } from '../autograd/tape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { Fused } from './linear-tiles.ts';
import { shareRows } from '../gpu/row-groups.ts';
import { packing } from './weight-rows.ts';

export interface WorkgroupProduct {
  /** f32. */
  readonly a: Tensor;
  readonly b: Tensor;
  /** f32 [rows, columns] */
  readonly out: Tensor;
  readonly rows: number;
  readonly columns: number;
  readonly inner: number;
  /** nt: a · bᵀ. nn: a · b. tn: aᵀ · b. */
  readonly kind: 'nt' | 'nn' | 'tn';
  readonly bias?: Tensor | undefined;
  readonly addend?: Tensor | undefined;
  /** Adds to what `out` holds. */
  readonly accumulate?: boolean;
  /** nt of few rows alone. */
  readonly fused?: Fused;
}

/** Everywhere but on a software adapter, where workgroup memory is slower than none (see the README of core). */
export function hasWorkgroupTiles(tape: Tape): boolean {
  return !tape.device.adapter.isSoftware;
}

/**
 * Whether a product a · bᵀ has the kernel for few rows. Up to four blocks of eight rows: all of them read the weight at the same time, so it comes
 * from memory once.
 */
export function hasFewRows(rows: number, inner: number): boolean {
  return rows <= 32 && inner % 32 === 0;
}

export function workgroupProduct(tape: Tape, product: WorkgroupProduct): void {
  const { a, b, out, rows, columns, inner, kind, bias, addend, accumulate = false, fused = {} } = product;
  const { constants, scales } = packing(b);
  // Told at run time: a branch at the very end costs nothing, one more kernel to compile does.
  const adds = (bias === undefined ? 0 : 1) + (addend === undefined ? 0 : 2) + (accumulate ? 4 : 0);
  const params = { rows, columns, inner, adds, segment: segmentOf(inner) };
  if (kind === 'nt' && hasFewRows(rows, inner) && addend === undefined) {
    const { norm, isGated = false } = fused;
    tape.launch({
      kernel: 'linear/few-rows',
      constants: {
        ...constants,
        ...(norm !== undefined && { NORM: true, ...shareRows(tape.device).constants }),
        ...(isGated && { GATED: true }),
      },
      bindings: { x: a, weight: b, scales, bias: bias ?? a, gain: norm?.weight ?? a, out },
      params: { ...params, epsilon: norm?.epsilon ?? 0 },
      groups: [Math.ceil(columns / 32), Math.ceil(rows / 8), 1],
    });
    return;
  }
  const tile = Math.ceil(rows / 128) * Math.ceil(columns / 128) >= tape.device.tuning.largeTilesFrom ? 128 : 64;
  const down = Math.ceil(rows / tile);
  tape.launch({
    // linear/workgroup-64, linear/workgroup-128
    kernel: `linear/workgroup-${tile}`,
    constants: { ...constants, A_ALONG: kind !== 'tn', B_ALONG: kind === 'nt' },
    bindings: { a, b, scales, bias: bias ?? a, addend: addend ?? a, out },
    params: {
      ...params,
      ...(kind === 'tn' ? { a_row: 1, a_inner: rows } : { a_row: inner, a_inner: 1 }),
      ...(kind === 'nt' ? { b_column: inner, b_inner: 1 } : { b_column: 1, b_inner: columns }),
    },
    groups: [Math.ceil(columns / tile), Math.min(down, 65535), Math.ceil(down / 65535)],
  });
}

/** Eight segments of k that end at multiples of 32. */
function segmentOf(inner: number): number {
  return Math.ceil(inner / 256) * 32;
}
