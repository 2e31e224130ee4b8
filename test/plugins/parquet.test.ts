/** Parquet files: every codec that is met, nulls, structs; what is damaged is refused in bounded time. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openParquet } from '../../plugins/caption-data/parquet.ts';
import { ParquetThread } from '../../plugins/caption-data/parquet-thread.ts';
import { UnreadableRow, type Row } from '../../plugins/caption-data/rows.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'reasongen-parquet-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const captions = Array.from({ length: 20 }, (_, index) => `a picture ${index % 7}`);
const columnData = [
  { name: 'image', data: captions.map((_, index) => new Uint8Array(40).fill(index)), type: 'BYTE_ARRAY' as const },
  { name: 'caption', data: captions, type: 'STRING' as const },
  // As `datasets` writes the path of pictures it holds.
  { name: 'path', data: captions.map(() => null), type: 'STRING' as const, nullable: true },
];

/** A block of LZ4 that is all literals. */
function lz4(bytes: Uint8Array): Uint8Array {
  if (bytes.length < 15) return Uint8Array.from([bytes.length << 4, ...bytes]);
  const lengths = [];
  let rest = bytes.length - 15;
  for (; rest >= 255; rest -= 255) lengths.push(255);
  return Uint8Array.from([0xf0, ...lengths, rest, ...bytes]);
}

const codecs: Readonly<Record<string, ((bytes: Uint8Array) => Uint8Array) | undefined>> = {
  UNCOMPRESSED: undefined,
  SNAPPY: undefined,
  GZIP: (bytes) => new Uint8Array(gzipSync(bytes)),
  BROTLI: (bytes) => new Uint8Array(brotliCompressSync(bytes)),
  LZ4_RAW: lz4,
};

async function read(path: string, thread = new ParquetThread()): Promise<(Row | UnreadableRow)[]> {
  const file = await openParquet(path, ['image', 'caption', 'path'], thread);
  try {
    const rows: (Row | UnreadableRow)[] = [];
    for (const [index, count] of file.blocks.entries()) {
      const block = await file.read(index);
      for (let row = 0; row < count; row++) rows.push(await block.row(row));
    }
    return rows;
  } finally {
    await file.close();
  }
}

const text = (value: unknown): string => (value instanceof Uint8Array ? Buffer.from(value).toString() : String(value));

function write(name: string, codec: string, rowGroupSize = 8): string {
  const path = join(folder, name);
  const compress = codecs[codec];
  const options = {
    columnData,
    codec,
    rowGroupSize,
    ...(compress !== undefined && { compressors: { [codec]: compress } }),
  };
  writeFileSync(path, new Uint8Array(parquetWriteBuffer(options as Parameters<typeof parquetWriteBuffer>[0])));
  return path;
}

test.each(Object.keys(codecs))('%s: every row, a column of nulls among them', async (codec) => {
  const rows = await read(write(`${codec}.parquet`, codec));
  expect(rows.map((row) => (row instanceof UnreadableRow ? row.why : text(row['caption'])))).toEqual(captions);
  const last = rows.at(-1) as Row;
  expect([...(last['image'] as Uint8Array)]).toEqual(Array.from({ length: 40 }, () => 19));
  expect(last['path'] ?? null).toBeNull();
});

describe('what is damaged', () => {
  test('a page whose header leads back to itself: its row group is named within seconds, the others are read', async () => {
    const path = write('circle.parquet', 'UNCOMPRESSED');
    const bytes = readFileSync(path);
    // The first page: field 3, its compressed size, follows type and uncompressed size in zigzag; -1 byte leads backwards for ever.
    const [, , , , type, , size] = bytes;
    expect([type, size]).toEqual([0x15, 0x15]);
    const rows = await damagedRows(bytes, path);
    const whys = new Set(rows.filter((row) => row instanceof UnreadableRow).map(({ why }) => why));
    expect([...whys].join()).toMatch(/^its row group cannot be read \(/);
    expect(rows.slice(8).map((row) => (row instanceof UnreadableRow ? row.why : text(row['caption'])))).toEqual(
      captions.slice(8),
    );
  });

  /** With every byte of the first page header negative in turn until the group cannot be read. */
  async function damagedRows(bytes: Buffer, path: string): Promise<(Row | UnreadableRow)[]> {
    const changed = Buffer.from(bytes);
    // Sizes are varints: 0x7f is -64 in zigzag.
    const at = changed.indexOf(0x15, 7);
    changed[at + 1] = 0x7f;
    writeFileSync(path, changed);
    return read(path);
  }

  test('other claims are refused by name', async () => {
    const whole = readFileSync(write('whole.parquet', 'SNAPPY'));
    const cut = join(folder, 'cut.parquet');
    for (const length of [0, 4, 100, whole.length - 1]) {
      writeFileSync(cut, whole.subarray(0, length));
      await expect(read(cut)).rejects.toMatchObject({ code: 'BAD_PARQUET', place: cut });
    }
    const lying = Buffer.from(whole);
    lying.writeUInt32LE(0x7fffffff, lying.length - 8);
    writeFileSync(cut, lying);
    await expect(read(cut)).rejects.toMatchObject({ code: 'BAD_PARQUET' });
  });
});
