/** Half precision on the host: for files, and for weights that are stored so on the device. */
import { at } from './at.ts';

/** Bits of an f32 → bits of the nearest f16, ties to even; 65520 and more become infinity. */
export function halfBits(single: number): number {
  const sign = (single >>> 16) & 0x8000;
  const magnitude = single & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x33000000) return sign;
  // Below 2^-14 the result is subnormal: the mantissa with its hidden bit, in units of 2^-24.
  const exponent = magnitude >>> 23;
  const isNormal = exponent >= 113;
  const mantissa = isNormal ? magnitude - 0x38000000 : (magnitude & 0x7fffff) | 0x800000;
  const shift = isNormal ? 13 : 126 - exponent;
  const half = mantissa >>> shift;
  const rest = mantissa & ((1 << shift) - 1);
  const tie = 1 << (shift - 1);
  // A carry out of the mantissa raises the exponent, as it should.
  return sign | (rest > tie || (rest === tie && (half & 1) === 1) ? half + 1 : half);
}

/** Bits of an f16 → its value, exactly. */
export function halfValue(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** The largest finite f16. */
export const largestHalf = 65504;

/** The nearest f16 of each value as raw 16-bit words; ties to even, what is too large becomes infinite. */
export function toHalves(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) halves[i] = halfBits(at(bits, i));
  return halves;
}

/** The values of f16 given as raw 16-bit words; exact. */
export function fromHalves(halves: Uint16Array): Float32Array {
  const values = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) values[i] = halfValue(at(halves, i));
  return values;
}

/** Bits of an f32 → bits of the nearest bf16, ties to even; NaN stays NaN. */
export function brainBits(single: number): number {
  if ((single & 0x7fffffff) > 0x7f800000) return (single >>> 16) | 0x40;
  return (single + 0x7fff + ((single >>> 16) & 1)) >>> 16;
}

export function toBrainFloats(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const brains = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) brains[i] = brainBits(at(bits, i));
  return brains;
}

/** bf16 is the upper half of an f32. */
export function fromBrainFloats(values: Uint16Array): Float32Array {
  return new Float32Array(Uint32Array.from(values, (bits) => (bits << 16) >>> 0).buffer);
}
