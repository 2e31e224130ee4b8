/** A safetensors file written from a source, and device tensors as such a source: host memory holds one piece at a time. */
import type { SourceEntry, StoredType, WeightSource } from '../contracts/weight-source.ts';
import type { Device } from '../gpu/device.ts';
import { elementBytes, sizeOf, type ElementType, type Tensor } from '../tensor/tensor.ts';
import { encodeHeader, type Metadata } from './safetensors.ts';
import { bytesOf, elementsOf, fileElementBytes } from './weight-files/element-types.ts';
import { checkedRange } from './weight-files/ranges.ts';

/** Bytes read from the device at once; a multiple of what a copy needs. */
const piece = 64 * 2 ** 20;

/** The bytes of a file, header first. They do not depend on the order of the source's entries. */
export async function* streamSafetensors(
  source: WeightSource,
  metadata: Metadata = source.metadata,
): AsyncIterable<Uint8Array> {
  // Wider elements first, then by name: every tensor stays aligned, and equal content gives equal bytes.
  const sorted = [...source.entries].sort(
    ([a, left], [b, right]) => fileElementBytes[right.type] - fileElementBytes[left.type] || (a < b ? -1 : 1),
  );
  const header = new Map<string, unknown>();
  if (Object.keys(metadata).length > 0) header.set('__metadata__', metadata);
  let offset = 0;
  for (const [name, entry] of sorted) {
    const end = offset + bytesOf(entry);
    header.set(name, { dtype: entry.type, shape: entry.shape, data_offsets: [offset, end] });
    offset = end;
  }
  yield encodeHeader(JSON.stringify(Object.fromEntries(header)), source.origin);
  for (const [name, entry] of sorted) {
    const step = Math.floor(piece / fileElementBytes[entry.type]);
    for (let first = 0; first < elementsOf(entry); first += step)
      yield source.read(name, first, Math.min(step, elementsOf(entry) - first));
  }
}

/** Tensors on the device under the given names, of types that files know. */
export function deviceSource(device: Device, tensors: ReadonlyMap<string, Tensor>, origin: string): WeightSource {
  const entries = new Map<string, SourceEntry>(
    [...tensors].map(([name, { shape, type }]) => [name, { shape, type: storedTypeOf(type) }]),
  );
  return {
    origin,
    entries,
    metadata: {},
    async read(name, first, count) {
      checkedRange(this, name, first, count);
      const tensor = tensors.get(name);
      if (tensor === undefined) throw new RangeError(`${origin} has no tensor "${name}"`);
      const width = elementBytes(tensor.type);
      const bytes = new Uint8Array(count * width);
      for (const { range, at } of rangesOf(tensor, first, count)) {
        const [values] = await device.read([range]);
        if (values === undefined) throw new RangeError('unreachable: one tensor was read');
        bytes.set(new Uint8Array(values.buffer, values.byteOffset, sizeOf(range.shape) * width), at * width);
      }
      return bytes;
    },
    close: () => Promise.resolve(),
  };
}

/** Writes the values of a stored tensor of f32 or u32 from `from` on into one on the device, piece by piece; `fits` says whether it can. */
export async function fillFromSource(
  device: Device,
  tensor: Tensor,
  source: WeightSource,
  name: string,
  from = 0,
): Promise<void> {
  const count = sizeOf(tensor.shape);
  const step = Math.floor(piece / elementBytes(tensor.type));
  for (let first = 0; first < count; first += step) {
    const length = Math.min(step, count - first);
    const { buffer, byteOffset } = await source.read(name, from + first, length);
    const data =
      tensor.type === 'f32'
        ? new Float32Array(buffer, byteOffset, length)
        : new Uint32Array(buffer, byteOffset, length);
    for (const { range, at } of rangesOf(tensor, first, length))
      device.write(range, data.subarray(at, at + sizeOf(range.shape)));
  }
}

/** Whether a stored tensor can be written into one on the device, or into several that have so many elements together. */
export function fits({ type, shape }: Tensor, entry: SourceEntry | undefined, elements = sizeOf(shape)): boolean {
  return entry !== undefined && entry.type === storedTypeOf(type) && elementsOf(entry) === elements;
}

/** Flat views of the elements first … first + count - 1, one for each part they lie in, and where in the range each begins. */
function rangesOf(tensor: Tensor, first: number, count: number): { readonly range: Tensor; readonly at: number }[] {
  const ranges: { range: Tensor; at: number }[] = [];
  let start = 0;
  for (const { name, shape, type, memory } of tensor.shards ?? [tensor]) {
    if (!('buffer' in memory)) throw new RangeError(`${name} lives in a program`);
    const [from, to] = [Math.max(first, start), Math.min(first + count, start + sizeOf(shape))];
    const offset = memory.offset + (from - start) * elementBytes(type);
    if (from < to)
      ranges.push({
        range: { name, shape: [to - from], type, memory: { buffer: memory.buffer, offset } },
        at: from - first,
      });
    start += sizeOf(shape);
  }
  return ranges;
}

const storedTypes: Readonly<Partial<Record<ElementType, StoredType>>> = {
  f32: 'F32',
  u32: 'U32',
  f16: 'F16',
  bf16: 'BF16',
};

export function storedTypeOf(type: ElementType): StoredType {
  const stored = storedTypes[type];
  if (stored === undefined) throw new RangeError(`a tensor of type ${type} has no type in a file`);
  return stored;
}
