/**
 * safetensors files: an 8-byte little-endian header length, a JSON header, then the tensors end to end. They are read by
 * `weight-files/safetensors-source.ts`, as strictly as the reference implementation does: every byte belongs to exactly one tensor.
 * https://huggingface.co/docs/safetensors
 */
import { exitCodes, ReasongenError } from '../errors.ts';
import { disk, diskError, writeDurably } from './disk.ts';
import type { FileFingerprint } from './fingerprint.ts';
import { toHalves } from '../tensor/float16.ts';
import { longestHeader } from './safetensors-header.ts';

export { longestHeader } from './safetensors-header.ts';

/** A tensor to be written. Without `dtype` the kind of the array decides: F32, U32 or I32. */
export type TensorToStore = { readonly shape: readonly number[] } & (
  | { readonly dtype?: 'F32' | 'F16'; readonly data: Float32Array }
  | { readonly dtype?: 'U32'; readonly data: Uint32Array }
  | { readonly dtype?: 'I32'; readonly data: Int32Array }
);

export type Metadata = Readonly<Record<string, string>>;

/** Writes a new file durably; the name must be free. The bytes do not depend on the order of the map. */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, TensorToStore>,
  metadata: Metadata = {},
  files = disk,
): Promise<FileFingerprint> {
  const chunks = encodeSafetensors(tensors, metadata, path);
  return writeDurably(path, chunks, files).catch((cause: unknown) => {
    throw diskError(cause, 'writing a safetensors file', path);
  });
}

/** The chunks of a file: header first, then one chunk per tensor, in order. */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, TensorToStore>,
  metadata: Metadata = {},
  name = 'bytes in memory',
): Uint8Array[] {
  // Wider elements first, then by name: every tensor stays aligned, and equal content gives equal bytes.
  const sorted = [...tensors].sort(([a, left], [b, right]) => {
    return elementBytes(right) - elementBytes(left) || (a < b ? -1 : 1);
  });
  const header = new Map<string, unknown>();
  if (Object.keys(metadata).length > 0) header.set('__metadata__', metadata);
  const chunks: Uint8Array[] = [];
  let offset = 0;
  for (const [tensorName, tensor] of sorted) {
    const bytes = encode(tensorName, tensor, name);
    header.set(tensorName, {
      dtype: storedType(tensor),
      shape: tensor.shape,
      data_offsets: [offset, offset + bytes.byteLength],
    });
    offset += bytes.byteLength;
    chunks.push(bytes);
  }
  return [encodeHeader(JSON.stringify(Object.fromEntries(header)), name), ...chunks];
}

/** The first bytes of a file: the length of the header, and the header. */
export function encodeHeader(json: string, name: string): Uint8Array {
  const text = new TextEncoder().encode(json);
  const length = Math.ceil(text.length / 8) * 8;
  if (length > longestHeader) throw new RangeError(`${name}: a header of ${length} bytes exceeds ${longestHeader}.`);
  const bytes = new Uint8Array(8 + length).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(text, 8);
  return bytes;
}

function storedType(tensor: TensorToStore): 'F32' | 'F16' | 'U32' | 'I32' {
  if (tensor.dtype !== undefined) return tensor.dtype;
  if (tensor.data instanceof Float32Array) return 'F32';
  return tensor.data instanceof Uint32Array ? 'U32' : 'I32';
}

function elementBytes(tensor: TensorToStore): number {
  return storedType(tensor) === 'F16' ? 2 : 4;
}

function encode(name: string, tensor: TensorToStore, file: string): Uint8Array {
  const { data, shape } = tensor;
  const count = shape.reduce((product, n) => product * n, 1);
  if (name === '__metadata__' || !shape.every((n) => Number.isSafeInteger(n) && n >= 0) || count !== data.length) {
    throw new RangeError(`${file}: tensor "${name}" [${shape}] cannot be stored with ${data.length} elements.`);
  }
  if (storedType(tensor) !== 'F16' || !(data instanceof Float32Array)) {
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  }
  const tooLarge = data.find((value) => Number.isFinite(value) && Math.abs(value) >= 65520);
  if (tooLarge !== undefined) {
    throw new ReasongenError({
      code: 'VALUE_TOO_LARGE',
      message: `tensor "${name}" holds ${tooLarge}, which half precision cannot hold`,
      place: file,
      hint: 'store this tensor as F32',
      exitCode: exitCodes.badPreset,
    });
  }
  return new Uint8Array(toHalves(data).buffer);
}

/** The length of the JSON header, from the first eight bytes of a file (fewer when it has fewer). */
export function headerLength(prefix: Uint8Array, fileBytes: number, file: string): number {
  if (prefix.length < 8)
    throw damaged(file, `the file has ${fileBytes} bytes, fewer than the 8 every safetensors file begins with`);
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(longestHeader)) {
    throw damaged(
      file,
      `it announces a header of ${length} bytes, more than the ${longestHeader} allowed: not a safetensors file`,
    );
  }
  if (Number(length) + 8 > fileBytes) {
    throw damaged(file, `its header should take ${length} bytes, but the file ends after ${fileBytes}: it was cut off`);
  }
  return Number(length);
}

function damaged(file: string, message: string, hint = 'copy or download the file again'): ReasongenError {
  return new ReasongenError({
    code: 'BAD_SAFETENSORS',
    message,
    place: file,
    hint,
    exitCode: exitCodes.disk,
  });
}
