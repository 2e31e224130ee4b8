/** WebDataset archives: what follows the first dot of a name is the field, whatever wrote the archive; what is damaged is refused in time. */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { namedFiles } from '../../core/io/named-files.ts';
import { textsOfFile } from '../../plugins/caption-data/files.ts';
import { UnreadableRow, type Row } from '../../plugins/caption-data/rows.ts';
import { openTar } from '../../plugins/caption-data/tar.ts';
import { entryBytes, paxRecords, tarBytes, type TarEntry } from '../support/tar.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'reasongen-tar-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const columns = {
  image: 'image',
  prompt: 'caption',
  rationale: 'cot',
  augmentedPrompts: 'ap',
  augmentedRationales: 'ar',
};

async function read(bytes: Uint8Array, own: Partial<typeof columns> = {}): Promise<(Row | UnreadableRow)[]> {
  const path = join(folder, 'archive.tar');
  writeFileSync(path, bytes);
  const file = await openTar(path, { ...columns, ...own });
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

/** Rows as "picture | prompt | rationale", or why there is none. */
async function shown(bytes: Uint8Array, own: Partial<typeof columns> = {}): Promise<string[]> {
  const names = { ...columns, ...own };
  return (await read(bytes, own)).map((row) => {
    if (row instanceof UnreadableRow) return row.why;
    const text = (value: unknown): string =>
      value instanceof Uint8Array ? Buffer.from(value).toString() : JSON.stringify(value ?? null);
    return [names.image, names.prompt, names.rationale].map((name) => text(row[name])).join(' | ');
  });
}

const json = (caption: string, more: object = {}): string => JSON.stringify({ caption, cot: 'why', ...more });
const two: readonly TarEntry[] = [
  { name: '0000.json', content: json('one') },
  { name: '0000.png', content: 'PNG-0' },
  { name: '0001.json', content: json('two') },
  { name: '0001.png', content: 'PNG-1' },
];
const wanted = ['PNG-0 | "one" | "why"', 'PNG-1 | "two" | "why"'];

describe('fields', () => {
  test('any order of members, hidden companions, folders, leading dots and letters of either case', async () => {
    const orders: readonly (readonly number[])[] = [
      [0, 1, 2, 3],
      [1, 0, 3, 2],
      [0, 2, 1, 3],
      [1, 3, 0, 2],
    ];
    for (const order of orders) expect(await shown(tarBytes(order.map((at) => two[at] as TarEntry)))).toEqual(wanted);
    const odd = two.flatMap((entry) => [
      { name: `./._${entry.name}`, content: 'AppleDouble' },
      { name: `__MACOSX/._${entry.name}`, content: 'AppleDouble' },
      { ...entry, name: `./${entry.name.replace('png', 'PNG')}` },
    ]);
    const all = [
      { name: './', kind: '5' },
      { name: '.DS_Store', content: 'x' },
      { name: '__MACOSX/0002.png', content: 'a companion without a dot' },
      { name: 'README', content: 'x' },
      ...odd,
    ];
    expect(await shown(tarBytes(all))).toEqual(wanted);
  });

  test('a mask, an info, a numbered picture are fields of their own, and columns by their names', async () => {
    const more = [
      { name: '0000.mask.png', content: 'MASK' },
      { name: '0000.info.json', content: json('of the info') },
      { name: '0000.left.txt', content: 'left of it' },
      { name: '0000.cls', content: '7' },
    ];
    expect(await shown(tarBytes([...more, ...two]))).toEqual(wanted);
    expect((await shown(tarBytes([...two, ...more]), { image: 'mask.png', prompt: 'left.txt' }))[0]).toBe(
      'MASK | left of it | "why"',
    );
    // Letters of either case are one, in a preset, too.
    const left = [
      { name: '0000.Left.PNG', content: 'LEFT' },
      { name: '0000.Left.Txt', content: 'left of it' },
    ];
    expect((await shown(tarBytes([...two, ...left]), { image: 'Left.PNG', prompt: 'left.TXT' }))[0]).toBe(
      'LEFT | left of it | "why"',
    );
    const dots = [0, 1].flatMap((at) => [
      { name: `photo.000${at}.png`, content: 'PNG' },
      { name: `photo.000${at}.json`, content: json('x') },
    ]);
    expect(await shown(tarBytes(dots))).toEqual([
      'it has no picture: its fields, what follows the first dot of a name, are 0000.png, 0000.json, 0001.png, 0001.json',
    ]);
    expect(await shown(tarBytes(two.map((entry) => ({ ...entry, name: `v1.5/a.b/${entry.name}` }))))).toEqual(wanted);
  });

  test('a member wins over a key of the json, whatever the order', async () => {
    const members = [
      { name: 'a.png', content: 'PNG' },
      { name: 'a.json', content: json('of the json', { image: 'a.png', png: 1, __proto__: 2 }) },
      { name: 'a.txt', content: '\uFEFFof the text\n' },
    ];
    for (const order of [members, [...members].reverse()])
      expect(await shown(tarBytes(order))).toEqual(['PNG | "of the text" | "why"']);
  });

  test('a field twice is an error that names the member; several pictures are not chosen from', async () => {
    for (const second of ['0000.png', './0000.PNG', '0000.Png'])
      await expect(read(tarBytes([...two, { name: second, content: 'other' }]))).rejects.toMatchObject({
        code: 'BAD_TAR',
        message: expect.stringMatching(
          /sample "0000" has the field "png" twice; the second is 0000\.png at byte \d+/i,
        ) as string,
      });
    const both = tarBytes([...two, { name: '0000.jpg', content: 'JPG' }]);
    expect((await shown(both))[0]).toBe('it has several pictures (jpg, png): name one in dataset.columns.image');
    expect((await shown(both, { image: 'jpg' }))[0]).toBe('JPG | "one" | "why"');
  });

  test('what is no text or no JSON is said of its row', async () => {
    expect(
      await shown(
        tarBytes([
          { name: 'a.png', content: 'PNG' },
          { name: 'a.txt', content: Buffer.from('caf\xe9', 'latin1') },
          { name: 'b.png', content: 'PNG' },
          { name: 'b.json', content: '[1]' },
          { name: 'c.png', content: 'PNG' },
          { name: 'c.txt', content: Buffer.from('\uFEFFa café', 'utf16le') },
        ]),
      ),
    ).toEqual([
      'a.txt is no text: line 1 is not UTF-8 (byte 0xE9): it may be Latin-1 or another encoding',
      'b.json is not a JSON object',
      'PNG | "a café" | null',
    ]);
  });
});

test('pictures that the json names beside the archive are part of what it is', async () => {
  const path = join(folder, 'named.tar');
  writeFileSync(
    path,
    tarBytes([
      { name: '0000.json', content: json('one', { image: 'beside.png', more: [{ path: 'inner.png' }] }) },
      { name: '0001.json', content: 'no json' },
      { name: '0001.png', content: 'PNG-1' },
    ]),
  );
  for (const name of ['beside.png', 'inner.png', '0001.png']) writeFileSync(join(folder, name), name);
  expect((await namedFiles(path, textsOfFile)).map(({ name }) => name)).toEqual(['beside.png', 'inner.png']);
  writeFileSync(path, 'no archive');
  expect(await namedFiles(path, textsOfFile)).toEqual([]);
});

describe('headers', () => {
  test('long names of GNU and pax, sizes of pax, binary sizes, prefixes, old archives', async () => {
    const long = `${'deep/'.repeat(40)}0000`;
    const [first, second] = [json('one'), 'PNG-0'];
    const binary = (size: number): Buffer => {
      const field = Buffer.alloc(12);
      field[0] = 0x80;
      field.writeUInt32BE(size, 8);
      return field;
    };
    const archives: Readonly<Record<string, Buffer>> = {
      gnu: tarBytes([
        { name: '././@LongLink', kind: 'L', content: `${long}.json\0` },
        { name: 'short', content: first, magic: 'ustar  \0', prefix: '14572143062' },
        { name: '././@LongLink', kind: 'L', content: `${long}.png\0` },
        { name: 'short', content: second, magic: 'ustar  \0', prefix: '14572143062' },
      ]),
      pax: tarBytes([
        { name: 'global', kind: 'g', content: paxRecords({ comment: 'path=none', path: 'all.png' }) },
        { name: 'x', kind: 'x', content: paxRecords({ comment: 'a\n12 path=wrong\n', path: `${long}.json` }) },
        { name: 'short', content: first },
        { name: 'x', kind: 'x', content: paxRecords({ path: `${long}.png`, size: String(second.length) }) },
        { name: 'short', content: second, sizeField: Buffer.from('00000000000\0') },
      ]),
      prefix: tarBytes([
        { name: '0000.json', prefix: 'some/folder', content: first },
        { name: '0000.png', prefix: 'some/folder', content: second, sizeField: binary(second.length) },
      ]),
      v7: tarBytes([
        { name: '0000.json', kind: '\0', content: first, magic: '' },
        { name: '0000.png', kind: '\0', content: second, magic: '' },
        { name: 'folder/', kind: '\0', magic: '' },
      ]),
      // What a folder says of its size is no content.
      folders: tarBytes([
        { name: 'f/', kind: '5', sizeField: Buffer.from('00000001130\0') },
        { name: 'f/0000.json', content: first },
        { name: 'f/', kind: '0', sizeField: Buffer.from('00000010000\0') },
        { name: 'f/0000.png', content: second },
      ]),
    };
    for (const [name, bytes] of Object.entries(archives)) expect(await shown(bytes), name).toEqual([wanted[0]]);
  });

  test('links to members before them are their content; other links and sparse files are named', async () => {
    expect(
      await shown(
        tarBytes([
          ...two.slice(0, 2),
          { name: '0001.json', content: json('two') },
          { name: '0001.png', kind: '1', link: './0000.png' },
          { name: '0002.json', kind: '1', link: 'nowhere.json' },
          { name: '0002.png', kind: '2', link: '../0000.png' },
          { name: 'a/0003.png', kind: '2', link: '../0000.png' },
          { name: 'a/0003.json', content: json('three') },
          { name: 'x', kind: 'x', content: paxRecords({ 'GNU.sparse.major': '1', 'GNU.sparse.name': '0003.png' }) },
          { name: 'GNUSparseFile.0/0003.png', content: 'map' },
        ]),
      ),
    ).toEqual([
      'PNG-0 | "one" | "why"',
      'PNG-0 | "two" | "why"',
      '0002.png cannot be read: it is a link to ../0000.png, which is not in the archive before it',
      'PNG-0 | "three" | "why"',
      '0003.png cannot be read: it is stored as sparse',
    ]);
  });

  test('archives one behind the other, with a short end, with what is no part of them, and empty ones', async () => {
    const [one, other] = [tarBytes(two.slice(0, 2)), tarBytes(two.slice(2))];
    expect(await shown(Buffer.concat([one, other]))).toEqual(wanted);
    expect(await shown(tarBytes(two, Buffer.alloc(512)))).toEqual(wanted);
    expect(await shown(Buffer.concat([tarBytes(two), Buffer.alloc(512, 'junk')]))).toEqual(wanted);
    // As a copy over a line or a disk may end it.
    for (const tail of [Buffer.alloc(100), Buffer.from('something else'), Buffer.alloc(700, 1)])
      expect(await shown(Buffer.concat([tarBytes(two), tail]))).toEqual(wanted);
    expect(await shown(Buffer.alloc(10_240))).toEqual([]);
  });

  test.each([
    [
      'a negative size',
      tarBytes([
        { name: 'a.png', content: 'x', sizeField: Buffer.from('ffffffffffffffffffffff00'.padEnd(24, '0'), 'hex') },
      ]),
    ],
    ['a size in words', tarBytes([{ name: 'a.png', content: 'x', sizeField: Buffer.from('-0000000512\0') }])],
    [
      'a size of many terabytes',
      tarBytes([{ name: 'a.png', sizeField: Buffer.from('800000000fffffffffffffff', 'hex') }]),
    ],
    ['a size beyond the end', tarBytes([{ name: 'a.png', content: 'x', sizeField: Buffer.from('77777777777\0') }])],
    [
      'a negative size of pax',
      tarBytes([
        { name: 'x', kind: 'x', content: paxRecords({ size: '-512' }) },
        { name: 'a.png', content: 'x' },
      ]),
    ],
    [
      'records of pax without a length',
      tarBytes([
        { name: 'x', kind: 'x', content: '0 path=a\n' },
        { name: 'a.png', content: 'x' },
      ]),
    ],
    ['a header that is cut', tarBytes(two).subarray(0, 1300)],
    ['a member that is cut', tarBytes(two).subarray(0, 700)],
    [
      'junk behind one sector of zeros',
      Buffer.concat([entryBytes(two[0] as TarEntry), Buffer.alloc(512), Buffer.alloc(512, 'junk')]),
    ],
    ['an archive without its end', tarBytes(two, Buffer.alloc(0))],
    ['an empty file', Buffer.alloc(0)],
    ['no archive', Buffer.alloc(2048, 'a red cat\n')],
    ['one that is compressed', Buffer.concat([Buffer.from('1f8b0800', 'hex'), Buffer.alloc(2048, 7)])],
  ])('%s is refused', async (_, bytes) => {
    await expect(read(bytes)).rejects.toMatchObject({ code: 'BAD_TAR', place: join(folder, 'archive.tar') });
  });

  test('an archive that was cut while it was open says so of the row', async () => {
    const path = join(folder, 'shrinking.tar');
    writeFileSync(path, tarBytes(two));
    const file = await openTar(path, columns);
    truncateSync(path, 600);
    expect(await (await file.read(0)).row(1)).toEqual(new UnreadableRow('the file ends before it'));
    await file.close();
  });
});
