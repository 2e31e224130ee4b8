/** A source whose floating-point tensors come out in another type, converted piece by piece. */
import type { StoredType, WeightSource } from '../../contracts/weight-source.ts';
import { exitCodes, ReasongenError } from '../../errors.ts';
import { largestHalf, toBrainFloats, toHalves } from '../../tensor/float16.ts';
import { fileElementBytes } from './element-types.ts';
import { floatsOf } from './floats.ts';
import { largestRead } from './file-pieces.ts';
import { at } from '../../tensor/at.ts';

export type ExportType = 'F32' | 'F16' | 'BF16';

/** `typeOf`: what a tensor is to be; undefined leaves it as it is, as integers always are. Rounds to nearest, ties to even. */
export function castSource(source: WeightSource, typeOf: (name: string) => ExportType | undefined): WeightSource {
  const wanted = new Map<string, ExportType>();
  for (const [name, { type }] of source.entries) {
    const to = typeOf(name);
    if (to !== undefined && to !== type && isFloat(type)) wanted.set(name, to);
  }
  return {
    origin: source.origin,
    entries: new Map(
      [...source.entries].map(([name, entry]) => [name, { ...entry, type: wanted.get(name) ?? entry.type }]),
    ),
    metadata: source.metadata,
    async read(name, first, count) {
      const to = wanted.get(name);
      const from = source.entries.get(name)?.type;
      if (to === undefined || from === undefined) return source.read(name, first, count);
      const result = new Uint8Array(count * fileElementBytes[to]);
      const step = Math.floor(largestRead / 8);
      for (let start = 0; start < count; start += step) {
        const values = floatsOf(await source.read(name, first + start, Math.min(step, count - start)), from);
        if (values === undefined) throw new RangeError(`unreachable: ${name} holds ${from}`);
        refuseLost(values, to, name, first + start, source.origin);
        result.set(encode(values, to), start * fileElementBytes[to]);
      }
      return result;
    },
    close: () => source.close(),
  };
}

function isFloat(type: StoredType): boolean {
  return type === 'F64' || type === 'F32' || type === 'F16' || type === 'BF16';
}

function encode(values: Float32Array, type: ExportType): Uint8Array {
  const encoded = type === 'F32' ? values : type === 'F16' ? toHalves(values) : toBrainFloats(values);
  return new Uint8Array(encoded.buffer, encoded.byteOffset, encoded.byteLength);
}

/** A rounded value may be small; it may not become infinite, or be no number. */
function refuseLost(values: Float32Array, type: ExportType, name: string, first: number, place: string): void {
  const limit = type === 'F16' ? largestHalf : Number.MAX_VALUE;
  for (let index = 0; index < values.length; index++) {
    const value = at(values, index);
    if (Math.abs(value) <= limit && Number.isFinite(value)) continue;
    const isNumber = Number.isFinite(value);
    throw new ReasongenError({
      code: isNumber ? 'VALUE_TOO_LARGE' : 'WEIGHT_NOT_FINITE',
      message: isNumber
        ? `tensor "${name}" holds ${value} at element ${first + index}, which f16 cannot hold`
        : `tensor "${name}" holds ${value} at element ${first + index}`,
      place,
      hint: isNumber ? 'export as bf16 or f32' : 'the training diverged: use an earlier checkpoint',
      exitCode: exitCodes.badPreset,
    });
  }
}
