/** Weights from the device back to the host, a few pieces at a time. */
import type { SourceEntry, WeightSource } from '../contracts/weight-source.ts';
import type { Device } from '../gpu/device.ts';
import { fromBrainFloats, fromHalves } from '../tensor/float16.ts';
import { dequantize, quantizedGroup } from '../tensor/quantized.ts';
import { byteLength, elementBytes, sizeOf, type Tensor } from '../tensor/tensor.ts';
import type { WeightLocation } from './layout.ts';
import type { StoredRange } from './loading.ts';

/** Bytes of one read-back: what the staging buffer grows to. */
const mostBytes = 64 * 2 ** 20;

/** Each weight, given as its ranges, as f32. Small ones share a read-back, large ones take several. */
export async function readFloats(
  device: Device,
  weights: readonly (readonly StoredRange[])[],
): Promise<Float32Array[]> {
  const results = weights.map((ranges) => new Float32Array(ranges.reduce((sum, { count }) => sum + count, 0)));
  let waiting: { target: Float32Array; at: number; piece: StoredRange }[] = [];
  let bytes = 0;
  const flush = async (): Promise<void> => {
    const raw = await readRaw(
      device,
      waiting.map(({ piece }) => piece),
    );
    waiting.forEach(({ target, at, piece }, index) => target.set(widen(piece, raw[index]), at));
    waiting = [];
    bytes = 0;
  };
  for (const [index, ranges] of weights.entries()) {
    const target = results[index];
    if (target === undefined) throw new RangeError('unreachable: as many results as weights');
    for (const range of ranges) {
      for (const piece of piecesOf(range, mostBytes / 4)) {
        const size = byteLength([piece.count], piece.values.type);
        if (bytes + size > mostBytes) await flush();
        waiting.push({ target, at: piece.first, piece });
        bytes += size;
      }
    }
  }
  if (waiting.length > 0) await flush();
  return results;
}

/** A set of weights as a source. Codes are given as the values they stand for; the rest as stored. */
export function sourceOf(
  device: Device,
  places: ReadonlyMap<string, WeightLocation>,
  rangesOf: (place: WeightLocation) => readonly StoredRange[],
  origin: string,
): WeightSource {
  const entries = new Map(
    [...places].map(([name, { spec, type }]): [string, SourceEntry] => [
      name,
      { shape: spec.shape, type: fileTypes[type] },
    ]),
  );
  return {
    origin,
    entries,
    metadata: {},
    async read(name, first, count) {
      const place = places.get(name);
      if (place === undefined) throw new RangeError(`no parameter is named ${name}`);
      if (first < 0 || count < 0 || first + count > sizeOf(place.spec.shape))
        throw new RangeError(`${name} [${place.spec.shape}] has no elements ${first} to ${first + count}`);
      const width = fileTypes[place.type] === 'F32' ? 4 : 2;
      const result = new Uint8Array(count * width);
      for (const range of rangesOf(place)) {
        const begin = Math.max(first, range.first);
        const end = Math.min(first + count, range.first + range.count);
        if (begin >= end) continue;
        // A copy begins at a whole word, codes at a whole group.
        const skipped = (begin - range.first) % quantizedGroup;
        const piece = slice(range, begin - range.first - skipped, end - begin + skipped);
        const [raw] = await readRaw(device, [piece]);
        const values = place.type === 'int8' || place.type === 'int4' ? widen(piece, raw) : raw?.values;
        if (values === undefined) throw new RangeError('unreachable: one tensor was read');
        result.set(
          new Uint8Array(values.buffer, values.byteOffset + skipped * width, (end - begin) * width),
          (begin - first) * width,
        );
      }
      return result;
    },
    close: () => Promise.resolve(),
  };
}

const fileTypes = { f32: 'F32', f16: 'F16', bf16: 'BF16', int8: 'F32', int4: 'F32' } as const;

interface Raw {
  readonly values: Float32Array | Uint32Array | Uint16Array;
  readonly scales: Uint32Array | undefined;
}

async function readRaw(device: Device, pieces: readonly StoredRange[]): Promise<Raw[]> {
  const tensors = pieces.flatMap(({ values, scales }) => [asWords(values), ...(scales === undefined ? [] : [scales])]);
  const read = await device.read(tensors);
  let next = 0;
  return pieces.map(({ scales }) => {
    const values = read[next++];
    const words = scales === undefined ? undefined : read[next++];
    if (values === undefined || words instanceof Float32Array || words instanceof Uint16Array)
      throw new RangeError('unreachable: words come back as words');
    return { values, scales: words };
  });
}

/** Codes are read back as the words they lie in. */
function asWords(values: Tensor): Tensor {
  if (values.type !== 'int8' && values.type !== 'int4') return values;
  return { ...values, type: 'u32', shape: [Math.ceil((sizeOf(values.shape) * elementBytes(values.type)) / 4)] };
}

function widen({ values: { type }, count }: StoredRange, raw: Raw | undefined): Float32Array {
  const values = raw?.values;
  if (values instanceof Float32Array) return values;
  if (values instanceof Uint16Array) return type === 'bf16' ? fromBrainFloats(values) : fromHalves(values);
  if (values === undefined || raw?.scales === undefined || (type !== 'int8' && type !== 'int4'))
    throw new RangeError('unreachable: only codes come back as words');
  return dequantize(
    { codes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength), scales: raw.scales },
    type,
  ).subarray(0, count);
}

/** Pieces of at most `most` elements. */
function piecesOf(range: StoredRange, most: number): StoredRange[] {
  return Array.from({ length: Math.ceil(range.count / most) }, (_, index) => ({
    ...slice(range, index * most, Math.min(most, range.count - index * most)),
    first: range.first + index * most,
  }));
}

/** `start` is a multiple of the group of codes. */
function slice(range: StoredRange, start: number, count: number): StoredRange {
  const { values, scales } = range;
  const moved = (tensor: Tensor, from: number, length: number): Tensor => {
    if (!('buffer' in tensor.memory)) throw new RangeError(`${tensor.name} is not a weight`);
    return {
      ...tensor,
      shape: [length],
      memory: { buffer: tensor.memory.buffer, offset: tensor.memory.offset + from * elementBytes(tensor.type) },
    };
  };
  return {
    first: range.first + start,
    count,
    values: moved(values, start, count),
    scales: scales === undefined ? undefined : moved(scales, start / quantizedGroup, Math.ceil(count / quantizedGroup)),
  };
}
