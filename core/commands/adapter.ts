import { dawn } from '../gpu/dawn.ts';
import { availableMemory } from '../gpu/host-memory.ts';

/** What an adapter says about itself before a device is opened. */
export interface AdapterFacts {
  readonly description: string;
  readonly isSoftware: boolean;
  readonly features: readonly string[];
  readonly limits: GPUSupportedLimits;
  /** Bytes that are left for the device, where that is known: a software adapter takes them from main memory. */
  readonly availableBytes: number | undefined;
}

/** The adapter a run would use; nothing when there is none. Opens no device. */
export async function readAdapter(): Promise<AdapterFacts | undefined> {
  const adapter = await dawn().requestAdapter({ powerPreference: 'high-performance' });
  if (adapter === null) return undefined;
  const { vendor, architecture, device, description } = adapter.info;
  const isSoftware = /llvmpipe|swiftshader|software/i.test([vendor, architecture, device, description].join(' '));
  return {
    description: description || device || vendor,
    isSoftware,
    features: [...adapter.features].map(String).sort(),
    limits: adapter.limits,
    availableBytes: isSoftware ? availableMemory() : undefined,
  };
}

