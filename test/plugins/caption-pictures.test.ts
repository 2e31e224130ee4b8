/** Pictures of rows as people store them: base64, data URIs, structs, names of files; and lists of rows in one JSON text. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openJsonLines } from '../../plugins/caption-data/jsonl.ts';
import { pictureBytes } from '../../plugins/caption-data/pictures.ts';
import { UnreadableRow } from '../../plugins/caption-data/rows.ts';

let folder: string;
let png: Buffer;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'reasongen-pictures-'));
  png = await sharp({ create: { width: 9, height: 7, channels: 3, background: '#c0392b' } })
    .png()
    .toBuffer();
  mkdirSync(join(folder, 'data'));
  for (const name of ['data/a b%20.png', 'data/7.png', 'outside.png']) writeFileSync(join(folder, name), png);
});
afterAll(() => rmSync(folder, { recursive: true }));

const read = (value: unknown): Promise<Uint8Array> => pictureBytes(value, join(folder, 'data', 'rows.jsonl'));
const lines = (text: string): string => text.replaceAll(/.{20}/g, '$&\r\n');

describe('the same picture', () => {
  const forms: Readonly<Record<string, (base64: string) => unknown>> = {
    'plain base64': (base64) => base64,
    'base64 in lines, behind a blank one': (base64) => `\n${lines(base64)}`,
    'base64 without padding': (base64) => base64.replace(/=+$/, ''),
    'base64 for URLs': () => png.toString('base64url'),
    'base64 as bytes': (base64) => new Uint8Array(Buffer.from(base64)),
    'a data URI': (base64) => `data:image/png;base64,${base64}`,
    'one in capitals, of another type': (base64) => `DATA:IMAGE/JPEG;BASE64,${base64}`,
    'one with parameters and spaces': (base64) => `  data:image/png;charset=utf-8; base64, ${base64}\n`,
    'one without a type': (base64) => `data:;base64,${base64}`,
    'one of mere bytes': (base64) => `data:application/octet-stream;base64,${base64}`,
    'one that is percent-encoded': (base64) => `data:image/png;base64,${encodeURIComponent(base64)}`,
    'one in lines': (base64) => `data:image/png;base64,${lines(base64)}`,
    bytes: () => new Uint8Array(png),
    'a struct of bytes': () => ({ bytes: new Uint8Array(png), path: 'nowhere.png' }),
    'a struct of base64': (base64) => ({ bytes: base64, path: null }),
    'a struct of a data URI': (base64) => ({ bytes: `data:image/png;base64,${base64}`, path: null }),
    'a struct of a name': () => ({ bytes: null, path: '7.png' }),
    'a list of one': (base64) => [base64],
    'a name with a space and a percent sign': () => './a b%20.png',
    'a whole path within the folder': () => join(folder, 'data', '7.png'),
  };
  test.each(Object.keys(forms))('as %s', async (name) => {
    expect(Buffer.from(await read(forms[name]?.(png.toString('base64')))).equals(png)).toBe(true);
  });

  test.each(['jpeg', 'webp', 'gif', 'tiff', 'avif'] as const)(
    'base64 of %s is known by its first bytes',
    async (format) => {
      const bytes = await sharp(png).toFormat(format).toBuffer();
      expect(Buffer.from(await read(bytes.toString('base64'))).equals(bytes)).toBe(true);
    },
  );
});

test.each<[string, unknown, RegExp]>([
  ['a data URI of text', 'data:text/plain;base64,aGVsbG8=', /of another kind than image/],
  ['one that is not base64', 'data:image/png,%89PNG', /of another kind than image/],
  ['one without a comma', 'data:image/png;base64iVBORw0KGgo', /without a comma/],
  ['one with other characters', 'data:image/png;base64,iVBO!!!!Rw0KGgo', /not base64/],
  ['an empty one', 'data:image/png;base64,', /it has no picture/],
  ['padding in the middle', 'iVBORw0KGgo=iVBORw0KGgoA', /not base64/],
  ['an address', 'https://host/a.png', /is an address \(https:\/\/host\/a\.png\), and none is fetched/],
  ['an address of a file', 'file:///etc/passwd', /is an address/],
  ['a name beside the folder', '../outside.png', /outside the folder/],
  ['a path elsewhere', '/etc/passwd', /outside the folder/],
  ['a name with NUL', 'a\0.png', /cannot be read/],
  ['a folder', '.', /outside the folder/],
  ['a long text', 'A'.repeat(3_000_000), /a text of 3000000 characters, neither a path nor base64/],
  ['several', ['7.png', '7.png'], /2 pictures/],
  ['a list of lists', [['7.png']], /a list of lists/],
  ['nothing', null, /it has no picture/],
  ['a blank', ' \n', /it has no picture/],
  ['a number', 7, /it has no picture/],
  ['an empty struct', { bytes: null, path: null }, /it has no picture/],
])('%s is refused in a line', async (_, value, why) => {
  const refused: unknown = await read(value).catch((cause: unknown) => cause);
  expect(refused).toMatchObject({ message: expect.stringMatching(why) as string });
  expect((refused as Error).message.length).toBeLessThan(250);
});

test('lists in lists without an end are refused, too', async () => {
  let value: unknown = '7.png';
  for (let level = 0; level < 100_000; level++) value = [value];
  await expect(read(value)).rejects.toThrow('a list of lists');
});

describe('rows of one JSON list', () => {
  async function rowsOf(text: string | Uint8Array): Promise<unknown[]> {
    const path = join(folder, 'rows.json');
    writeFileSync(path, text);
    const file = await openJsonLines(path);
    try {
      const found: unknown[] = [];
      for (const [index, count] of file.blocks.entries()) {
        const block = await file.read(index);
        for (let row = 0; row < count; row++) {
          const one = await block.row(row);
          found.push(one instanceof UnreadableRow ? one.why : one);
        }
      }
      return found;
    } finally {
      await file.close();
    }
  }
  const rows = [{ a: 'a ]},"[{ b' }, { b: [{ c: '\\' }, []], d: { e: null } }, { f: 'é\u2028' }];

  test('on a line, on many, behind a mark', async () => {
    for (const text of [JSON.stringify(rows), JSON.stringify(rows, null, 2), `\uFEFF \n${JSON.stringify(rows)}\n`])
      expect(await rowsOf(text)).toEqual(rows);
    expect(await rowsOf(' [ \n] ')).toEqual([]);
    const many = Array.from({ length: 300 }, (_, index) => ({ index, text: 'x'.repeat(index * 40) }));
    expect(await rowsOf(JSON.stringify(many))).toEqual(many);
  });

  test('what is no row is said of it, and the others are read', async () => {
    expect(await rowsOf('[{"a":1}, 7, "x", null, [1], {"b":NaN}, {"c":2}]')).toEqual([
      { a: 1 },
      ...Array.from({ length: 4 }, () => 'it is not a JSON object'),
      'it is not a JSON object: it holds NaN or Infinity, which JSON does not know',
      { c: 2 },
    ]);
    expect(await rowsOf(`[${'['.repeat(50_000)}${']'.repeat(50_000)}]`)).toEqual(['it is not a JSON object']);
  });

  test.each([
    ['[{"a":1},', /cut off/],
    ['[{"a":"', /cut off/],
    ['['.repeat(100_000), /cut off/],
    ['[{"a":1}] {"b":2}', /something follows its end at byte 10/],
    ['[1]\n[2]', /something follows its end/],
  ])('%.20s is refused', async (text, message) => {
    await expect(rowsOf(text)).rejects.toMatchObject({
      code: 'BAD_JSON_LINES',
      message: expect.stringMatching(message) as string,
    });
  });
});
