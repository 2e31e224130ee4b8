/** What a tape records: launches of kernels, and copies. */
import type { KernelConstants } from '../gpu/kernel.ts';
import type { Tensor } from '../tensor/tensor.ts';

export interface Launch {
  /** Path under `kernels/` without the ending; of a file elsewhere its URL, `new URL('./mine.wgsl', import.meta.url)`. */
  readonly kernel: string | URL;
  readonly constants?: KernelConstants;
  /** Every `var` of the kernel file but the uniform, by name. */
  readonly bindings: Readonly<Record<string, Tensor>>;
  /** Every field of its `struct Params`, by name. */
  readonly params?: Readonly<Record<string, number>>;
  /** Bindings that only count what was computed: no reason to compute it again for the way back. */
  readonly tallies?: readonly string[];
  /** Workgroups in x, y, z. */
  readonly groups: readonly [number, number, number];
}

export interface Copy {
  readonly copy: { readonly from: Tensor; readonly to: Tensor };
}

export type Step = Launch | Copy;

/** Folds a count of workgroups into x and y (65535 per dimension); kernels index with `group.y * groups.x + group.x`. */
export function grid(count: number): [number, number, number] {
  const limit = 65535;
  return count <= limit ? [count, 1, 1] : [limit, Math.ceil(count / limit), 1];
}
