/**
 * Event files as TensorBoard reads them: TFRecord framing around `tensorflow.Event` messages, of which scalars need three
 * fields. https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto
 */

import { bytes, concat, double, float, readFields, textField, varint } from './protobuf.ts';

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
  return concat([double(1, seconds), textField(3, 'brain.Event:2')]);
}

/** Scalars of one step, by tag. */
export function scalarsEvent(seconds: number, step: number, scalars: Readonly<Record<string, number>>): Uint8Array {
  const values = Object.entries(scalars).map(([tag, value]) => bytes(1, concat([textField(1, tag), float(2, value)])));
  return concat([double(1, seconds), varint(2, step), bytes(5, concat(values))]);
}

/** What a picture is shown with. */
export interface ShownPicture {
  readonly tag: string;
  readonly width: number;
  readonly height: number;
  readonly png: Uint8Array;
  /** Markdown. */
  readonly caption: string;
}

/** Pictures of one step, each with its caption as a text beside it: a tag belongs to one kind of value. */
export function picturesEvent(seconds: number, step: number, pictures: readonly ShownPicture[]): Uint8Array {
  const values = pictures.flatMap(({ tag, width, height, png, caption }) => [
    bytes(
      1,
      concat([
        textField(1, tag),
        bytes(4, concat([varint(1, height), varint(2, width), varint(3, rgb), bytes(4, png)])),
      ]),
    ),
    bytes(
      1,
      concat([textField(1, `${tag}/text`), bytes(8, stringTensor(caption)), bytes(9, bytes(1, textField(1, 'text')))]),
    ),
  ]);
  return concat([double(1, seconds), varint(2, step), bytes(5, concat(values))]);
}

/** The color space of a picture. */
const rgb = 3;

/** A tensor with one text. */
function stringTensor(value: string): Uint8Array {
  const string = 7;
  return concat([varint(1, string), bytes(2, bytes(2, varint(1, 1))), textField(8, value)]);
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
