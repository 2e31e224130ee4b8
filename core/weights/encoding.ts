/** Weights from the form they have in a file to the form they have on the device, and what gets lost on the way. */
import type { StoredType } from '../contracts/weight-source.ts';
import { brainBits, halfBits, halfValue, largestHalf } from '../tensor/float16.ts';
import { quantize } from '../tensor/quantized.ts';
import type { WeightStorage } from './layout.ts';
import { at } from '../tensor/at.ts';

/** Bytes of one element in a file, of the types that hold weights. */
export const floatBytes = { F64: 8, F32: 4, F16: 2, BF16: 2 } as const;

export type FloatType = keyof typeof floatBytes;

export function isFloatType(type: StoredType): type is FloatType {
  return Object.hasOwn(floatBytes, type);
}

export interface Encoded {
  /** A view of a buffer that the next call overwrites, rounded up to whole words. */
  readonly bytes: Uint8Array;
  /** Of int8 and int4. */
  readonly scales: Uint32Array | undefined;
  readonly lost: Losses;
}

export interface Found {
  readonly index: number;
  readonly value: number;
}

/** How many values were NaN or infinite, and how many finite ones were too large and are clamped; the first of each. */
export interface Losses {
  readonly notFinite: number;
  readonly firstNotFinite: Found | undefined;
  readonly clamped: number;
  readonly firstClamped: Found | undefined;
}

/** The largest finite value of a storage. Codes with bf16 scales reach as far as bf16. */
export function largestStored(storage: WeightStorage): number {
  if (storage === 'f16') return largestHalf;
  return storage === 'f32' ? largestSingle : largestBrain;
}

const nothing: Losses = { notFinite: 0, firstNotFinite: undefined, clamped: 0, firstClamped: undefined };
const largestSingle = 3.4028234663852886e38;
const largestBrain = 3.3895313892515355e38;

/** Converts pieces of at most `most` elements, in buffers made once. */
export class WeightEncoder {
  private readonly values: Float32Array;
  private readonly stored: Uint32Array;
  private table: ConversionTable | undefined;

  constructor(most: number) {
    this.values = new Float32Array(most);
    this.stored = new Uint32Array(most);
  }

  /** `bytes`: little-endian elements of `type`. Finite values beyond the storage's range become its largest. */
  encode(bytes: Uint8Array, type: FloatType, storage: WeightStorage): Encoded {
    const count = bytes.byteLength / floatBytes[type];
    const isSame = (type === 'BF16' && storage === 'bf16') || (type === 'F16' && storage === 'f16');
    if (isSame && count % 2 === 0 && isFinite16(sixteens(bytes), type === 'BF16' ? 0x7f80 : 0x7c00))
      return { bytes, scales: undefined, lost: nothing };
    const converted = this.convertSixteen(bytes, type, storage);
    if (converted !== undefined) return { bytes: converted, scales: undefined, lost: nothing };
    const values = this.values.subarray(0, count);
    widen(bytes, type, values);
    return this.encodeFloats(values, storage, type === 'F64' ? new Float64Array(aligned(bytes), 0, count) : undefined);
  }

  /** One kind of 16 bits into the other by table; undefined for other types, and when anything would be lost. */
  private convertSixteen(bytes: Uint8Array, type: FloatType, storage: WeightStorage): Uint8Array | undefined {
    const isHalf = type === 'BF16' && storage === 'f16';
    if (!isHalf && !(type === 'F16' && storage === 'bf16')) return undefined;
    if (this.table?.type !== type) this.table = conversionTable(type);
    const { codes, isLost } = this.table;
    const from = sixteens(bytes);
    const to = new Uint16Array(this.stored.buffer, 0, from.length + (from.length & 1));
    let lost = 0;
    for (let i = 0; i < from.length; i++) {
      const code = at(from, i);
      to[i] = at(codes, code);
      lost |= at(isLost, code);
    }
    return lost === 0 ? new Uint8Array(to.buffer, 0, to.byteLength) : undefined;
  }

  /** `exact`: the same values before they were rounded to f32. */
  encodeFloats(values: Float32Array, storage: WeightStorage, exact?: Float64Array): Encoded {
    const lost = this.clamp(values, largestStored(storage), exact);
    const kept = lost.clamped > 0 ? this.values.subarray(0, values.length) : values;
    if (storage === 'int8' || storage === 'int4') {
      const { codes, scales } = quantize(kept, storage);
      return { bytes: codes, scales, lost };
    }
    if (storage === 'f32')
      return { bytes: new Uint8Array(kept.buffer, kept.byteOffset, kept.byteLength), scales: undefined, lost };
    const bits = new Uint32Array(kept.buffer, kept.byteOffset, kept.length);
    const halves = new Uint16Array(this.stored.buffer, 0, kept.length + (kept.length & 1));
    if (storage === 'f16') for (let i = 0; i < bits.length; i++) halves[i] = halfBits(at(bits, i));
    else for (let i = 0; i < bits.length; i++) halves[i] = brainBits(at(bits, i));
    return { bytes: new Uint8Array(halves.buffer, 0, halves.byteLength), scales: undefined, lost };
  }

  /** Counts what is lost; when anything must be clamped, `this.values` holds the clamped values afterwards. */
  private clamp(values: Float32Array, largest: number, exact: Float64Array | undefined): Losses {
    let notFinite = 0;
    let firstNotFinite: Found | undefined;
    let clamped = 0;
    let firstClamped: Found | undefined;
    for (let i = 0; i < values.length; i++) {
      const value = at(values, i);
      if (value <= largest && value >= -largest) continue;
      const before = exact?.[i] ?? value;
      if (!Number.isFinite(before)) {
        notFinite += 1;
        firstNotFinite ??= { index: i, value: before };
        continue;
      }
      if (clamped === 0 && values.buffer !== this.values.buffer) this.values.set(values);
      this.values[i] = Math.sign(before) * largest;
      clamped += 1;
      firstClamped ??= { index: i, value: before };
    }
    return { notFinite, firstNotFinite, clamped, firstClamped };
  }
}

/** What each bf16 becomes as f16, or each f16 as bf16, and which of them are not finite or too large. */
interface ConversionTable {
  readonly type: FloatType;
  readonly codes: Uint16Array;
  readonly isLost: Uint8Array;
}

function conversionTable(type: FloatType): ConversionTable {
  const values = new Float32Array(65536);
  widen(new Uint8Array(Uint16Array.from(values, (_, code) => code).buffer), type, values);
  const largest = largestStored(type === 'BF16' ? 'f16' : 'bf16');
  const bits = new Uint32Array(values.buffer);
  return {
    type,
    codes: Uint16Array.from(bits, (single) => (type === 'BF16' ? halfBits(single) : brainBits(single))),
    isLost: Uint8Array.from(values, (value) => (Math.abs(value) <= largest ? 0 : 1)),
  };
}

function widen(bytes: Uint8Array, type: FloatType, values: Float32Array): void {
  const count = values.length;
  const bits = new Uint32Array(values.buffer, values.byteOffset, count);
  if (type === 'F32') new Uint8Array(values.buffer, values.byteOffset, count * 4).set(bytes);
  else if (type === 'F64') values.set(new Float64Array(aligned(bytes), 0, count));
  else {
    const halves = sixteens(bytes);
    if (type === 'BF16') for (let i = 0; i < count; i++) bits[i] = at(halves, i) << 16;
    else for (let i = 0; i < count; i++) values[i] = halfValue(at(halves, i));
  }
}

/** A number is infinite or NaN exactly when all bits of its exponent are set. */
function isFinite16(values: Uint16Array, exponent: number): boolean {
  for (let i = 0; i < values.length; i++) if ((at(values, i) & exponent) === exponent) return false;
  return true;
}

function sixteens(bytes: Uint8Array): Uint16Array {
  return bytes.byteOffset % 2 === 0
    ? new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2)
    : new Uint16Array(bytes.slice().buffer);
}

/** The bytes at the start of a buffer, where doubles may be looked at. */
function aligned(bytes: Uint8Array): ArrayBuffer {
  return bytes.byteOffset === 0 && bytes.buffer instanceof ArrayBuffer ? bytes.buffer : new Uint8Array(bytes).buffer;
}
