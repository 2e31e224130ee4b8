/** What an adapter says about itself, as far as kernels and plans depend on it. */
import { listedMatrices, matrixFeature, type MatrixConfiguration } from './subgroup-matrices.ts';

/** The description of an adapter that a plan is made for where none is known. */
export const unknownDescription = 'unknown';

export interface AdapterReport {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  readonly isSoftware: boolean;
  readonly subgroupMinSize: number;
  readonly subgroupMaxSize: number;
  readonly features: readonly string[];
  /** What its tensor cores multiply; nothing where they are not offered or not asked for. */
  readonly matrices: readonly MatrixConfiguration[];
}

const wantedFeatures = ['shader-f16', 'subgroups', 'timestamp-query', 'subgroup-size-control', matrixFeature] as const;

/** What an adapter says about itself; `features` are those that are asked for. */
export function reportAdapter(
  adapter: GPUAdapter,
  features: readonly string[] = offeredFeatures(adapter),
): AdapterReport {
  const { vendor, architecture, device, description, subgroupMinSize = 0, subgroupMaxSize = 0 } = adapter.info;
  const words = [vendor, architecture, device, description].filter(Boolean).join(' ');
  return {
    vendor,
    architecture,
    device,
    description: description || words || 'null',
    isSoftware: /llvmpipe|swiftshader|software/i.test(words),
    subgroupMinSize,
    subgroupMaxSize,
    features,
    matrices: features.includes(matrixFeature) ? listedMatrices(adapter.info) : [],
  };
}

export function offeredFeatures(adapter: GPUAdapter, without: readonly string[] = []): GPUFeatureName[] {
  const names = wantedFeatures as readonly string[] as readonly GPUFeatureName[];
  return names.filter((name) => adapter.features.has(name) && !without.includes(name));
}
