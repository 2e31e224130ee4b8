/** Writes files as `torch.save` does: a zip file of stored entries with a pickle of protocol 2 in it. And such files gone wrong. */
import { crc32 } from 'node:zlib';

export interface TorchTensorToStore {
  readonly shape: readonly number[];
  /** Name of the storage class: `FloatStorage`. */
  readonly kind: string;
  readonly bytes: Uint8Array;
  readonly elements: number;
  /** Row-major by default. */
  readonly strides?: readonly number[];
  readonly offset?: number;
  /** Storage key; tensors with the same key share it. */
  readonly key?: string;
}

const text = (value: string): Buffer => Buffer.from(value);
const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

export const global = (module: string, name: string): Buffer => text(`c${module}\n${name}\n`);
export const unicode = (value: string): Buffer => Buffer.concat([text('X'), uint32(text(value).length), text(value)]);
export const integer = (value: number): Buffer => {
  if (value >= 0 && value < 256) return Buffer.of(0x4b, value);
  if (value < 2 ** 31) return Buffer.concat([text('J'), uint32(value)]);
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(value));
  return Buffer.concat([Buffer.of(0x8a, 8), bytes]);
};
export const tuple = (...items: readonly Buffer[]): Buffer => Buffer.concat([text('('), ...items, text('t')]);
export const reduce = (target: Buffer, args: Buffer): Buffer => Buffer.concat([target, args, text('R')]);
export const pickle = (...parts: readonly Buffer[]): Buffer => Buffer.concat([Buffer.of(0x80, 2), ...parts, text('.')]);
export const dict = (items: readonly (readonly [string, Buffer])[]): Buffer =>
  Buffer.concat([text('}('), ...items.flatMap(([key, value]) => [unicode(key), value]), text('u')]);

export function storage(kind: string, key: string, elements: number): Buffer {
  return Buffer.concat([
    tuple(unicode('storage'), global('torch', kind), unicode(key), unicode('cpu'), integer(elements)),
    text('Q'),
  ]);
}

export function tensor({
  shape,
  kind,
  elements,
  strides,
  offset = 0,
  key = '0',
}: Omit<TorchTensorToStore, 'bytes'>): Buffer {
  const steps = strides ?? shape.map((_, axis) => shape.slice(axis + 1).reduce((product, n) => product * n, 1));
  const hooks = reduce(global('collections', 'OrderedDict'), text(')'));
  const args = tuple(
    storage(kind, key, elements),
    integer(offset),
    tuple(...shape.map(integer)),
    tuple(...steps.map(integer)),
    Buffer.of(0x89),
    hooks,
  );
  return reduce(global('torch._utils', '_rebuild_tensor_v2'), args);
}

/** The entries of a whole file. */
export function torchEntries(tensors: Readonly<Record<string, TorchTensorToStore>>): Map<string, Uint8Array> {
  const entries = new Map<string, Uint8Array>();
  const keyed = Object.entries(tensors).map(([name, each], index) => ({
    name,
    ...each,
    key: each.key ?? String(index),
  }));
  entries.set('archive/data.pkl', pickle(dict(keyed.map(({ name, ...each }) => [name, tensor(each)]))));
  entries.set('archive/byteorder', text('little'));
  for (const { key, bytes } of keyed) entries.set(`archive/data/${key}`, bytes);
  entries.set('archive/version', text('3\n'));
  return entries;
}

export interface ZipOptions {
  /** Offsets and sizes in zip64 fields, whatever they are. */
  readonly zip64?: boolean;
  /** 0 is stored. */
  readonly method?: number;
  /** Added to the offset of every local header in the directory: a directory that lies. */
  readonly shift?: number;
  readonly comment?: string;
}

/** Data begin at multiples of 64, as PyTorch has it. */
export function zipFile(entries: ReadonlyMap<string, Uint8Array>, options: ZipOptions = {}): Buffer {
  const { zip64 = false, method = 0, shift = 0, comment = '' } = options;
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  const add = (bytes: Uint8Array): void => {
    parts.push(Buffer.from(bytes));
    at += bytes.length;
  };
  for (const [name, bytes] of entries) {
    const padding = (64 - ((at + 30 + name.length + 4) % 64)) % 64;
    const extra = Buffer.alloc(4 + padding, 0);
    extra.write('FB');
    extra.writeUInt16LE(padding, 2);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50);
    local.writeUInt16LE(name.length, 26);
    local.writeUInt16LE(extra.length, 28);
    const header = Buffer.alloc(46);
    header.writeUInt32LE(0x02014b50);
    header.writeUInt16LE(method, 10);
    header.writeUInt32LE(crc32(bytes), 16);
    header.writeUInt16LE(name.length, 28);
    const wide = Buffer.alloc(zip64 ? 28 : 0);
    if (zip64) {
      wide.writeUInt16LE(1);
      wide.writeUInt16LE(24, 2);
      wide.writeBigUInt64LE(BigInt(bytes.length), 4);
      wide.writeBigUInt64LE(BigInt(bytes.length), 12);
      wide.writeBigUInt64LE(BigInt(at + shift), 20);
    }
    header.writeUInt32LE(zip64 ? 0xffffffff : bytes.length, 20);
    header.writeUInt32LE(zip64 ? 0xffffffff : bytes.length, 24);
    header.writeUInt16LE(wide.length, 30);
    header.writeUInt32LE(zip64 ? 0xffffffff : at + shift, 42);
    directory.push(header, text(name), wide);
    add(local);
    add(text(name));
    add(extra);
    add(bytes);
  }
  const begin = at;
  for (const each of directory) add(each);
  const size = at - begin;
  if (zip64) {
    const record = Buffer.alloc(56);
    record.writeUInt32LE(0x06064b50);
    record.writeBigUInt64LE(44n, 4);
    for (const place of [24, 32]) record.writeBigUInt64LE(BigInt(entries.size), place);
    record.writeBigUInt64LE(BigInt(size), 40);
    record.writeBigUInt64LE(BigInt(begin), 48);
    const locator = Buffer.alloc(20);
    locator.writeUInt32LE(0x07064b50);
    locator.writeBigUInt64LE(BigInt(at), 8);
    locator.writeUInt32LE(1, 16);
    add(record);
    add(locator);
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50);
  for (const place of [8, 10]) end.writeUInt16LE(zip64 ? 0xffff : entries.size, place);
  end.writeUInt32LE(zip64 ? 0xffffffff : size, 12);
  end.writeUInt32LE(zip64 ? 0xffffffff : begin, 16);
  end.writeUInt16LE(comment.length, 20);
  add(end);
  add(text(comment));
  return Buffer.concat(parts);
}

/** A float32 tensor of a file. */
export function floatTensor(
  shape: readonly number[],
  values: readonly number[],
  rest: Partial<TorchTensorToStore> = {},
): TorchTensorToStore {
  return {
    shape,
    kind: 'FloatStorage',
    bytes: new Uint8Array(Float32Array.from(values).buffer),
    elements: values.length,
    ...rest,
  };
}
