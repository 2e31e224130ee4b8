/**
 * Event files as TensorBoard reads them: TFRecord framing around `tensorflow.Event` messages, of which scalars need three
 * fields. https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto
 */

/** One record: length u64, masked CRC of the length, data, masked CRC of the data; all little-endian. */
export function frame(data: Uint8Array): Uint8Array {
  const record = new Uint8Array(data.length + 16);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, mask(crc32c(record.subarray(0, 8))), true);
  record.set(data, 12);
  view.setUint32(12 + data.length, mask(crc32c(data)), true);
  return record;
}

/** The first record of every file. */
export function versionEvent(seconds: number): Uint8Array {
  return concat([double(1, seconds), bytes(3, new TextEncoder().encode('brain.Event:2'))]);
}

/** Scalars of one step, by tag. */
export function scalarsEvent(seconds: number, step: number, scalars: Readonly<Record<string, number>>): Uint8Array {
  const values = Object.entries(scalars).map(([tag, value]) =>
    bytes(1, concat([bytes(1, new TextEncoder().encode(tag)), float(2, value)])),
  );
  return concat([double(1, seconds), varint(2, step), bytes(5, concat(values))]);
}

/** A session starts at this step: TensorBoard forgets what it has read of this step and later ones. */
export function startEvent(seconds: number, step: number): Uint8Array {
  return concat([double(1, seconds), varint(2, step), bytes(7, varint(1, 1))]);
}

/** What `superseded` asks of a record. */
export interface StoredEvent {
  readonly step: number;
  readonly tags: readonly string[];
}

/** The records of a file, framed, with what they say; what follows a torn one is left out. */
export function readEvents(file: Uint8Array): (StoredEvent & { readonly frame: Uint8Array })[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const found: (StoredEvent & { frame: Uint8Array })[] = [];
  for (let at = 0; at + 12 <= file.length;) {
    const length = Number(view.getBigUint64(at, true));
    const end = at + 16 + length;
    if (mask(crc32c(file.subarray(at, at + 8))) !== view.getUint32(at + 8, true) || end > file.length) break;
    const data = file.subarray(at + 12, at + 12 + length);
    if (mask(crc32c(data)) !== view.getUint32(end - 4, true)) break;
    const fields = readFields(data);
    const summary = fields.find(({ field }) => field === 5)?.bytes ?? new Uint8Array();
    const tags = readFields(summary).flatMap(({ bytes: value }) =>
      readFields(value)
        .filter(({ field }) => field === 1)
        .map(({ bytes: tag }) => new TextDecoder().decode(tag)),
    );
    found.push({ step: fields.find(({ field }) => field === 2)?.number ?? 0, tags, frame: file.subarray(at, end) });
    at = end;
  }
  return found;
}

interface Field {
  readonly field: number;
  /** Of a varint. */
  readonly number: number;
  /** Of a field with a length. */
  readonly bytes: Uint8Array;
}

/** The fields of a message of protobuf, in their order. */
function readFields(data: Uint8Array): Field[] {
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

/** Castagnoli's CRC-32. */
export function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

/** TFRecord rotates and shifts its checksums, so that one of a checksum is not trivial. */
function mask(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

function double(field: number, value: number): Uint8Array {
  const result = new Uint8Array(9);
  result[0] = (field << 3) | 1;
  new DataView(result.buffer).setFloat64(1, value, true);
  return result;
}

function float(field: number, value: number): Uint8Array {
  const result = new Uint8Array(5);
  result[0] = (field << 3) | 5;
  new DataView(result.buffer).setFloat32(1, value, true);
  return result;
}

function varint(field: number, value: number): Uint8Array {
  return concat([Uint8Array.of(field << 3), base128(value)]);
}

function bytes(field: number, data: Uint8Array): Uint8Array {
  return concat([Uint8Array.of((field << 3) | 2), base128(data.length), data]);
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

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const result = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const part of parts) {
    result.set(part, offset);
    offset += part.length;
  }
  return result;
}
