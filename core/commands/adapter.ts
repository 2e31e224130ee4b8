import { dawn } from '../gpu/dawn.ts';
import { type AdapterReport, reportAdapter } from '../gpu/adapter-report.ts';
import { openDevice } from '../gpu/device.ts';
import { halfFault, openTrustedDevice, wasHidden } from '../half-trial.ts';
import { availableMemory } from '../gpu/host-memory.ts';

/** What an adapter says about itself before a device is opened. */
export interface AdapterFacts {
  readonly description: string;
  readonly isSoftware: boolean;
  readonly features: readonly string[];
  readonly limits: GPUSupportedLimits;
  /** What a plan for this adapter is made from. */
  readonly report: AdapterReport;
  /** Bytes that are left for the device, where that is known: a software adapter takes them from main memory. */
  readonly availableBytes: number | undefined;
}

/** The adapter a run would use; nothing when there is none. Opens no device. */
export async function readAdapter(): Promise<AdapterFacts | undefined> {
  const adapter = await dawn().requestAdapter({ powerPreference: 'high-performance' });
  if (adapter === null) return undefined;
  const report = reportAdapter(adapter);
  const { description, isSoftware } = report;
  return {
    description,
    isSoftware,
    features: [...adapter.features].map(String).sort(),
    limits: adapter.limits,
    report,
    availableBytes: isSoftware ? availableMemory() : undefined,
  };
}

/** Bytes that the adapter's own memory gives, up to `wanted`: made and given back. WebGPU does not say how much there is. */
export async function tryMemory(wanted: number): Promise<number> {
  const device = await openTrustedDevice();
  try {
    return await device.tryMemory(wanted);
  } finally {
    device.close();
  }
}

/** What a trial of f16 finds wrong, on an adapter that Dawn gives it only when told to; undefined when nothing is. */
export async function tryHalves({ report }: AdapterFacts): Promise<string | undefined> {
  if (!report.features.includes('shader-f16') || !wasHidden(report)) return undefined;
  const device = await openDevice();
  try {
    return await halfFault(device);
  } finally {
    device.close();
  }
}
