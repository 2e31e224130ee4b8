/** A product of a linear layer and the workgroups it is cut into: what its kernels have in common. */
import type { Tensor } from '../tensor/tensor.ts';

export interface Product {
  /** f32 [rows, inner] */
  readonly a: Tensor;
  /** [columns, inner] forward, [inner, columns] for the gradient of the input. */
  readonly weight: Tensor;
  /** f32 [rows, columns] */
  readonly out: Tensor;
  readonly rows: number;
  readonly columns: number;
  readonly inner: number;
}

/** What is computed within the launch of a product a · weightᵀ, where its kernel can (`fusible`): the bits of launches of their own. */
export interface Fused {
  /** `a` is read as its RMSNorm. */
  readonly norm?: { readonly weight: Tensor; readonly epsilon: number } | undefined;
  /** The first half of the columns are gates of the other half: `out` is [rows, columns / 2], silu(gates) · ups. */
  readonly isGated?: boolean;
}

/** Workgroups of a product in tiles of `height` rows and 32 columns; past 65535 tiles the rows go on in z (kernels/linear). */
export function tiles(columns: number, rows: number, height: number): [number, number, number] {
  const down = Math.ceil(rows / height);
  return [Math.ceil(columns / 32), Math.min(down, 65535), Math.ceil(down / 65535)];
}
