/**
 * Subgroup matrices (tensor cores) as WebGPU offers them so far: every name of the draft that this program uses stands here, since the draft
 * may rename them (gpuweb, proposals/subgroup-matrix.md).
 */

/** The feature of the adapter, and the extension that kernels enable. */
export const matrixFeature = 'chromium-experimental-subgroup-matrix';
export const matrixExtension = 'chromium_experimental_subgroup_matrix';

/** result [M, N] += left [M, K] · right [K, N], computed by a whole subgroup at once. */
export interface MatrixShape {
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** What an adapter multiplies in one instruction; types as WGSL names them. */
export interface MatrixConfiguration extends MatrixShape {
  readonly operands: string;
  readonly sums: string;
}

/** What an adapter lists; nothing where it has no such matrices. */
export function listedMatrices(info: GPUAdapterInfo): MatrixConfiguration[] {
  const { subgroupMatrixConfigs = [] } = info as {
    readonly subgroupMatrixConfigs?: Iterable<
      MatrixShape & { readonly componentType: string; readonly resultComponentType: string }
    >;
  };
  return [...subgroupMatrixConfigs].map(({ componentType, resultComponentType, M, N, K }) => ({
    operands: componentType,
    sums: resultComponentType,
    M,
    N,
    K,
  }));
}

/** `8 x 8 x 8 f16 → f32` */
export function describeMatrix({ M, N, K, operands, sums }: MatrixConfiguration): string {
  return `${M} x ${N} x ${K} ${operands} → ${sums}`;
}
