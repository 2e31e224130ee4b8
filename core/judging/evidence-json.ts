/** Evidence as JSON and back: what is bytes or floats in memory is compressed, exact to the bit. */
import { deflateRawSync, inflateRawSync } from 'node:zlib';

interface Packed {
  readonly packed: 'bytes' | 'floats';
  readonly data: string;
}

/** More than any mask or depth map of a picture takes. */
const largest = 256 * 2 ** 20;

/** The value with its typed arrays packed; what is no plain JSON otherwise stays what `JSON.stringify` makes of it. */
export function evidenceToJson(value: unknown): unknown {
  if (value instanceof Uint8Array || value instanceof Float32Array) {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    const packed: Packed = {
      packed: value instanceof Float32Array ? 'floats' : 'bytes',
      data: deflateRawSync(bytes).toString('base64'),
    };
    return packed;
  }
  if (Array.isArray(value)) return value.map(evidenceToJson);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, evidenceToJson(each)]));
}

/** Throws an Error for packed values that are damaged. */
export function evidenceFromJson(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(evidenceFromJson);
  if (typeof value !== 'object' || value === null) return value;
  if ('packed' in value && 'data' in value && typeof value.data === 'string') {
    const bytes = inflateRawSync(Buffer.from(value.data, 'base64'), { maxOutputLength: largest });
    const copy = new Uint8Array(bytes);
    return value.packed === 'floats' ? new Float32Array(copy.buffer) : copy;
  }
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, evidenceFromJson(each)]));
}
