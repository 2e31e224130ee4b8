/** Small models read as a whole: any stored float type widened (F64: rounded) to f32. */
import type { StoredType, WeightSource } from '../../contracts/weight-source.ts';
import { fromBrainFloats, fromHalves } from '../../tensor/float16.ts';
import { elementsOf, fileElementBytes } from './element-types.ts';
import { badWeights } from './errors.ts';
import { largestRead } from './file-pieces.ts';

/** The tensors of a source whose names `keep` accepts. Nothing else is read. */
export async function readFloatTensors(
  source: WeightSource,
  keep: (name: string) => boolean,
): Promise<Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>> {
  const result = new Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>();
  for (const [name, entry] of source.entries) {
    if (!keep(name)) continue;
    const data = new Float32Array(elementsOf(entry));
    const step = Math.floor(largestRead / fileElementBytes[entry.type]);
    for (let first = 0; first < data.length; first += step) {
      const values = floatsOf(await source.read(name, first, Math.min(step, data.length - first)), entry.type);
      if (values === undefined)
        throw badWeights(
          source.origin,
          `tensor "${name}" holds ${entry.type}, not weights`,
          'use a checkpoint whose weights are floating-point numbers',
        );
      data.set(values, first);
    }
    result.set(name, { shape: entry.shape, data });
  }
  return result;
}

/** Undefined for integers. `bytes` starts its buffer. */
export function floatsOf(bytes: Uint8Array, type: StoredType): Float32Array | undefined {
  const { buffer, byteOffset, byteLength } = bytes;
  switch (type) {
    case 'F32':
      return new Float32Array(buffer, byteOffset, byteLength / 4);
    case 'F16':
      return fromHalves(new Uint16Array(buffer, byteOffset, byteLength / 2));
    case 'BF16':
      return fromBrainFloats(new Uint16Array(buffer, byteOffset, byteLength / 2));
    case 'F64':
      return Float32Array.from(new Float64Array(buffer, byteOffset, byteLength / 8));
    default:
      return undefined;
  }
}
