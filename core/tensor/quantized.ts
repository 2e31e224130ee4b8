/**
 * Group-wise integer codes of weights: every `quantizedGroup` neighbors of a row share a scale and a minimum, both bf16;
 * value = minimum + scale · code, codes 0 … 255 (int8) or 0 … 15 (int4). Scale and minimum are rounded outwards, so every
 * value lies within half a scale of what is stored.
 */
import { at } from './at.ts';

/** Neighbors along a row that share scale and minimum: 32 bits for 64 weights, half a bit each. */
export const quantizedGroup = 64;

export type QuantizedType = 'int8' | 'int4';

export interface Quantized {
  /** int8: a byte each. int4: two in a byte, the first one in the lower half. */
  readonly codes: Uint8Array;
  /** One word a group: bits of the bf16 scale below, of the bf16 minimum above. */
  readonly scales: Uint32Array;
}

/** Whole groups of one or more rows. A group with a value that is not finite reads back as NaN as a whole. */
export function quantize(values: Float32Array, type: QuantizedType): Quantized {
  if (values.length % quantizedGroup !== 0)
    throw new RangeError(`${values.length} values are no whole groups of ${quantizedGroup}`);
  const levels = type === 'int8' ? 255 : 15;
  const codes = new Uint8Array(type === 'int8' ? values.length : values.length / 2);
  const scales = new Uint32Array(values.length / quantizedGroup);
  const scratch = new DataView(new ArrayBuffer(4));
  for (let group = 0; group < scales.length; group++) {
    const first = group * quantizedGroup;
    let low = Number.POSITIVE_INFINITY;
    let high = Number.NEGATIVE_INFINITY;
    let sum = 0;
    for (let i = first; i < first + quantizedGroup; i++) {
      const value = at(values, i);
      if (value < low) low = value;
      if (value > high) high = value;
      sum += value;
    }
    if (!Number.isFinite(sum)) {
      scales[group] = 0x7fc07fc0;
      continue;
    }
    const minimumBits = brainBelow(low, scratch);
    const minimum = brainValue(minimumBits, scratch);
    const scaleBits = brainAbove((high - minimum) / levels, scratch);
    const scale = brainValue(scaleBits, scratch);
    scales[group] = ((minimumBits << 16) | scaleBits) >>> 0;
    if (scale === 0) continue;
    for (let i = first; i < first + quantizedGroup; i++) {
      const code = Math.min(levels, Math.round((at(values, i) - minimum) / scale));
      if (type === 'int8') codes[i] = code;
      else codes[i >>> 1] = at(codes, i >>> 1) | (code << ((i & 1) * 4));
    }
  }
  return { codes, scales };
}

/** What the codes stand for: whole groups, of which the last may lack codes, and has zeros there. */
export function dequantize({ codes, scales }: Quantized, type: QuantizedType): Float32Array {
  const values = new Float32Array(scales.length * quantizedGroup);
  const scratch = new DataView(new ArrayBuffer(4));
  const given = Math.min(values.length, type === 'int8' ? codes.length : 2 * codes.length);
  for (let i = 0; i < given; i++) {
    const word = at(scales, Math.floor(i / quantizedGroup));
    const code = type === 'int8' ? at(codes, i) : (at(codes, i >>> 1) >>> ((i & 1) * 4)) & 15;
    values[i] = brainValue(word >>> 16, scratch) + brainValue(word & 0xffff, scratch) * code;
  }
  return values;
}

function brainValue(bits: number, scratch: DataView): number {
  scratch.setUint32(0, (bits << 16) >>> 0);
  return scratch.getFloat32(0);
}

/** Bits of the largest bf16 that is not above `value`. */
function brainBelow(value: number, scratch: DataView): number {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  return (bits >>> 16) + ((bits & 0xffff) !== 0 && value < 0 ? 1 : 0);
}

/** Bits of the smallest bf16 that is not below `value` ≥ 0. */
function brainAbove(value: number, scratch: DataView): number {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  return (bits >>> 16) + ((bits & 0xffff) === 0 ? 0 : 1);
}
