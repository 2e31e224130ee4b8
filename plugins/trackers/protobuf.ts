/** Messages of protocol buffers, as far as trackers write them (https://protobuf.dev/programming-guides/encoding/). */

export function double(field: number, value: number): Uint8Array {
  const result = new Uint8Array(8);
  new DataView(result.buffer).setFloat64(0, value, true);
  return concat([base128(field * 8 + 1), result]);
}

export function float(field: number, value: number): Uint8Array {
  const result = new Uint8Array(4);
  new DataView(result.buffer).setFloat32(0, value, true);
  return concat([base128(field * 8 + 5), result]);
}

export function varint(field: number, value: number): Uint8Array {
  return concat([base128(field * 8), base128(value)]);
}

export function bytes(field: number, data: Uint8Array): Uint8Array {
  return concat([base128(field * 8 + 2), base128(data.length), data]);
}

/** A field that holds a text. */
export function textField(field: number, value: string): Uint8Array {
  return bytes(field, new TextEncoder().encode(value));
}

function base128(value: number): Uint8Array {
  const result: number[] = [];
  let rest = value;
  do {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    result.push(rest > 0 ? low | 128 : low);
  } while (rest > 0);
  return Uint8Array.from(result);
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const result = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const part of parts) {
    result.set(part, offset);
    offset += part.length;
  }
  return result;
}

export interface Field {
  readonly field: number;
  /** Of a varint. */
  readonly number: number;
  /** Of a field with a length. */
  readonly bytes: Uint8Array;
}

/** The fields of a message of protobuf, in their order. */
export function readFields(data: Uint8Array): Field[] {
  const found: Field[] = [];
  let at = 0;
  const readVarint = (): number => {
    for (let value = 0, scale = 1; ; scale *= 128) {
      const byte = data[at++] ?? 0;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < data.length) {
    const key = readVarint();
    const wire = key & 7;
    const number = wire === 0 ? readVarint() : 0;
    const length = wire === 0 ? 0 : wire === 1 ? 8 : wire === 5 ? 4 : readVarint();
    found.push({ field: key >>> 3, number, bytes: data.subarray(at, at + length) });
    at += length;
  }
  return found;
}
