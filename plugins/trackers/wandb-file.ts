/**
 * The file of an offline run: a header, then records in LevelDB's log format (https://github.com/google/leveldb/blob/main/doc/log_format.md),
 * here with the checksum of zlib, each a `Record` of https://github.com/wandb/wandb/blob/main/wandb/proto/wandb_internal.proto.
 */
import { crc32 } from 'node:zlib';
import { bytes, concat, textField, varint } from './protobuf.ts';

const blockBytes = 32768;
const headBytes = 7;
const [full, first, middle, last] = [1, 2, 3, 4];

/** `:W&B`, magic number 0xBEE1, version 0. */
export const header = Uint8Array.of(0x3a, 0x57, 0x26, 0x42, 0xe1, 0xbe, 0);

/** A record as it is appended to a file of `size` bytes: in pieces that do not cross blocks. */
export function framed(size: number, number: number, record: Uint8Array): Uint8Array {
  const data = concat([varint(1, number), record]);
  const parts: Uint8Array[] = [];
  let at = size;
  let done = 0;
  let begins = true;
  do {
    const left = blockBytes - (at % blockBytes);
    if (left < headBytes) {
      parts.push(new Uint8Array(left));
      at += left;
      continue;
    }
    const piece = data.subarray(done, done + left - headBytes);
    done += piece.length;
    const ends = done === data.length;
    parts.push(framedPiece(begins ? (ends ? full : first) : ends ? last : middle, piece));
    at += headBytes + piece.length;
    begins = false;
  } while (done < data.length);
  return concat(parts);
}

function framedPiece(kind: number, data: Uint8Array): Uint8Array {
  const head = new Uint8Array(headBytes);
  const view = new DataView(head.buffer);
  view.setUint32(0, crc32(data, crc32(Uint8Array.of(kind))), true);
  view.setUint16(4, data.length, true);
  head[6] = kind;
  return concat([head, data]);
}

interface DescribedRun {
  readonly id: string;
  readonly name: string;
  readonly project: string;
  readonly entity: string | undefined;
  readonly startedAt: number;
  readonly settings: Readonly<Record<string, unknown>>;
}

/** RunRecord: who the run is, and its config. */
export function runRecord({ id, name, project, entity, startedAt, settings }: DescribedRun): Uint8Array {
  const whole = Math.floor(startedAt);
  return bytes(
    17,
    concat([
      textField(1, id),
      ...(entity === undefined ? [] : [textField(2, entity)]),
      textField(3, project),
      bytes(4, concat(items(settings))),
      textField(8, name),
      bytes(17, concat([varint(1, whole), varint(2, Math.round((startedAt - whole) * 1e9))])),
    ]),
  );
}

/** HistoryRecord: the numbers of a step. */
export function historyRecord(step: number, values: Readonly<Record<string, number>>): Uint8Array {
  return bytes(2, concat([...items(values), bytes(2, varint(1, step))]));
}

/** SummaryRecord: the last number of each name. */
export function summaryRecord(values: Readonly<Record<string, number>>): Uint8Array {
  return bytes(3, concat(items(values)));
}

export function alertRecord(title: string, message: string, level = 'WARN'): Uint8Array {
  return bytes(10, concat([textField(1, title), textField(2, message), textField(3, level)]));
}

/** RunExitRecord. @param runtime seconds */
export function exitRecord(exitCode: number, runtime: number): Uint8Array {
  return bytes(18, concat([varint(1, exitCode), varint(2, Math.round(runtime))]));
}

/** Items with a key and a value as JSON; in Python's dialect of it, which has NaN and infinities. */
function items(values: Readonly<Record<string, unknown>>): Uint8Array[] {
  return Object.entries(values).map(([key, value]) =>
    bytes(1, concat([textField(1, key), textField(16, json(value))])),
  );
}

function json(value: unknown): string {
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : JSON.stringify(value);
}
