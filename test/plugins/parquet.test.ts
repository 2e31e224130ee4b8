/** Parquet files: every codec that is met, nulls, structs; what is damaged is refused in bounded time. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { inputHash } from '../../core/io/input-hash.ts';
import { namedFiles } from '../../core/io/named-files.ts';
import { textsOfFile } from '../../plugins/caption-data/files.ts';
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

test('the files that its rows name are part of what it is, those of inner columns, too', async () => {
  const path = join(folder, 'named.parquet');
  const long = (letter: string): string => letter.repeat(9000);
  const columns = [
    { name: 'image', data: ['a.png', 'b c.png', 'gone.png', 'a.png'], type: 'STRING' as const },
    { name: 'more', data: [{ path: 'inner.png' }, { list: ['listed.png'] }, {}, null], type: 'JSON' as const },
    { name: 'plain', data: ['bytes.png', 'x', 'y', 'z'].map((each) => Buffer.from(each)), type: 'BYTE_ARRAY' as const },
    // A column of pictures is not decoded for this.
    { name: 'large', data: ['other.png', long('x'), long('y'), long('z')], type: 'STRING' as const },
    { name: 'number', data: [1, 2, 3, 4], type: 'DOUBLE' as const },
  ];
  writeFileSync(path, new Uint8Array(parquetWriteBuffer({ columnData: columns, rowGroupSize: 3 })));
  const named = ['a.png', 'b c.png', 'bytes.png', 'inner.png', 'listed.png'];
  for (const name of [...named, 'other.png']) writeFileSync(join(folder, name), 'one');
  expect((await namedFiles(path, textsOfFile)).map(({ name, size }) => [name, size])).toEqual(
    named.map((name) => [name, 3]),
  );
  const before = await inputHash(path, textsOfFile);
  for (const name of [...named, 'other.png']) {
    writeFileSync(join(folder, name), 'two');
    expect((await inputHash(path, textsOfFile)) !== before, name).toBe(name !== 'other.png');
    writeFileSync(join(folder, name), 'one');
  }
  expect(await inputHash(path, textsOfFile)).toBe(before);
});

test('a file that no run could read names no files', async () => {
  const path = join(folder, 'torn.parquet');
  writeFileSync(path, 'PAR1 and nothing else');
  expect(await namedFiles(path, textsOfFile)).toEqual([]);
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

  test('a few bytes that claim gigabytes are refused before memory is taken', async () => {
    const names = ['a', 'b', 'c', 'd', 'e'];
    const data = [new Uint8Array(1_200_000)];
    const options = {
      columnData: names.map((name) => ({ name, data, type: 'BYTE_ARRAY' as const })),
      codec: 'GZIP',
      compressors: { GZIP: () => new Uint8Array(gzipSync('')) },
    };
    const bytes = Buffer.from(parquetWriteBuffer(options as Parameters<typeof parquetWriteBuffer>[0]));
    // Type of the page, then its size as a varint of four bytes, the largest of which says 128 MiB.
    const pages = [...bytes.toString('hex').matchAll(/150615(?:[89a-f].){3}[0-7].15/g)];
    for (const { index } of pages) bytes.writeUInt32BE(0xfeff_ff7f, index / 2 + 3);
    expect(pages).toHaveLength(names.length);
    const path = join(folder, 'claims.parquet');
    writeFileSync(path, bytes);
    const file = await openParquet(path, names, new ParquetThread());
    const row = await (await file.read(0)).row(0);
    await file.close();
    expect(row).toEqual(new UnreadableRow('its row group cannot be read (it claims far more than its size can hold)'));
  });

  test('rows that repeat each other may be more than the bytes of their file', async () => {
    const path = join(folder, 'repeated.parquet');
    const repeated = (values: readonly unknown[]): unknown[] =>
      Array.from({ length: 3000 }, (_, index) => values[index % values.length]);
    const columns = [
      { name: 'image', data: repeated([Uint8Array.of(1), Uint8Array.of(2)]), type: 'BYTE_ARRAY' as const },
      { name: 'caption', data: repeated(['a', 'b', 'c']), type: 'STRING' as const },
    ];
    const bytes = Buffer.from(parquetWriteBuffer({ columnData: columns }));
    expect(bytes.length).toBeLessThan(3000);
    writeFileSync(path, bytes);
    const found = await read(path);
    expect(found).toHaveLength(3000);
    expect(found.every((row, index) => text((row as Row)['caption']) === ['a', 'b', 'c'][index % 3])).toBe(true);
  });

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
