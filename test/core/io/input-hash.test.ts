/** What a run reads is known by its content, with the files that its rows name. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { checkpointName, encodeManifest } from '../../../core/io/checkpoint-manifest.ts';
import { inputHash } from '../../../core/io/input-hash.ts';
import { namedFiles } from '../../../core/io/named-files.ts';

const base = mkdtempSync(join(tmpdir(), 'input-hash-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));
let count = 0;

function folderOf(files: Readonly<Record<string, string>>): string {
  const folder = join(base, String(++count));
  mkdirSync(folder);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

const rows: readonly (readonly [name: string, text: string])[] = [
  ['rows.jsonl', '{"image": "pictures/a b.png", "prompt": "a cat"}\n{"image": "plain"}\n'],
  ['rows.ndjson', '{"image": {"path": "pictures\\/a b.png"}, "more": ["plain", "nothing.png"]}\n'],
  ['ROWS.JSON', '[\n{"image": "\\u0070ictures/a b.png"}, {"image": "./plain", "text": "\\"pictures\\\\"}]'],
  ['rows.csv', 'prompt,image\na cat,"pictures/a b.png"\n"a, dog", plain \n'],
  ['rows.tsv', 'prompt\timage\na cat\tpictures/a b.png\na dog\tplain\n'],
];

describe('the hash of a file of rows', () => {
  test.each(rows)('%s changes with the files that its rows name, and with no others', async (name, text) => {
    const folder = folderOf({ [name]: text, 'pictures/a b.png': 'one', plain: 'two', 'other.png': 'three' });
    const file = join(folder, name);
    const before = await inputHash(file);
    for (const [changed, isNamed] of [
      ['pictures/a b.png', true],
      ['plain', true],
      ['other.png', false],
    ] as const) {
      const path = join(folder, changed);
      const original = readFileSync(path, 'utf8');
      // Of the same length, and with the time of the original: neither tells.
      writeFileSync(path, original.toUpperCase());
      expect((await inputHash(file)) !== before, changed).toBe(isNamed);
      rmSync(path);
      expect((await inputHash(file)) !== before, `${changed} is gone`).toBe(isNamed);
      writeFileSync(path, original);
    }
    expect(await inputHash(file)).toBe(before);
    const copy = folderOf({});
    cpSync(folder, copy, { recursive: true });
    expect(await inputHash(join(copy, name))).toBe(before);
  });

  test('follows rows in the files of a folder, also to files outside of it', async () => {
    const folder = folderOf({ 'data/rows.jsonl': '{"image": "../elsewhere/a.png"}\n', 'elsewhere/a.png': 'one' });
    const before = await inputHash(join(folder, 'data'));
    writeFileSync(join(folder, 'elsewhere/a.png'), 'two');
    expect(await inputHash(join(folder, 'data'))).not.toBe(before);
  });

  test('ends for folders that link to themselves, links to nowhere, and rows that name themselves', async () => {
    const folder = folderOf({ 'rows.jsonl': '{"image": "rows.jsonl"}\n{"image": "."}\n{"image": "/dev/zero"}\n' });
    symlinkSync('.', join(folder, 'again'));
    symlinkSync('nowhere', join(folder, 'lost'));
    expect(await inputHash(folder)).toMatch(/^[0-9a-f]{64}$/);
  });

  test('tells a changed block at either end of each file of a set that is too large to read whole', async () => {
    const folder = folderOf({ 'a.bin': 'a'.repeat(9000), 'b.bin': 'b'.repeat(9000) });
    writeFileSync(join(folder, 'large.bin'), '', {});
    const { truncateSync } = await import('node:fs');
    truncateSync(join(folder, 'large.bin'), 600 * 2 ** 20);
    const before = await inputHash(folder);
    writeFileSync(join(folder, 'b.bin'), `${'b'.repeat(8999)}c`);
    expect(await inputHash(folder)).not.toBe(before);
  });
});

test('every text of a JSON file that names a file is found, wherever it is cut into pieces', async () => {
  const folder = folderOf({});
  const name = fc
    .string({ minLength: 1, maxLength: 40, unit: fc.constantFrom('a', 'é', '"', '\\', ' ', '.', '𝄞', ',') })
    .filter((each) => !['.', '..'].includes(each));
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(name, { maxLength: 5 }), fc.nat(80), async (names, shift) => {
      for (const each of names) writeFileSync(join(folder, each), '');
      // The names lie about the end of the first piece that is read.
      const padding = 'x'.repeat(2 ** 20 - 60 - shift);
      const file = join(folder, 'rows.jsonl');
      writeFileSync(file, `${JSON.stringify([padding, '\\', ...names, ''])}\n`);
      expect((await namedFiles(file)).map((each) => each.name)).toEqual(expect.arrayContaining(names));
    }),
    { numRuns: 60 },
  );
});

test('of a run is that of its newest checkpoint that can be told, and never that of nothing', async () => {
  const run = join(mkdtempSync(join(tmpdir(), 'reasongen-hashed-')), 'run');
  const manifestOf = (step: number): string => join(run, 'checkpoints', checkpointName(step), 'manifest.json');
  for (const step of [1, 2]) {
    mkdirSync(dirname(manifestOf(step)), { recursive: true });
    const file = { bytes: step, sha256: String(step).repeat(64) };
    writeFileSync(manifestOf(step), encodeManifest(step, { 'weights.safetensors': file, 'state.json': file }));
  }
  const newest = await inputHash(run);
  writeFileSync(manifestOf(2), 'damaged');
  const older = await inputHash(run);
  rmSync(dirname(manifestOf(2)), { recursive: true });
  expect(await inputHash(run)).toBe(older);
  expect(older).not.toBe(newest);
  rmSync(dirname(run), { recursive: true });
});
