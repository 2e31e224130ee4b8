import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { planSweep, readSweep, writeSweep } from '../../../core/sweep/record.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'reasongen-sweep-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const variants = ['x=../../etc', 'x={ a: 1, b: "ü/%" }', 'x=[1,2]', 'x=(1,2)'].map((name) => ({
  name,
  settings: [name],
}));
const sweep = planSweep({ preset: '/p.yaml', hash: 'h', settings: ['steps=1'] }, variants, [3, 1]);

test('what is written is read again; all variants of the first seed come first', async () => {
  await writeSweep(directory, sweep);
  expect(await readSweep(directory)).toEqual(sweep);
  expect(sweep.runs.map(({ variant, seed }) => [variant, seed])).toEqual(
    [3, 1].flatMap((seed) => [0, 1, 2, 3].map((variant) => [variant, seed])),
  );
  await expect(writeSweep(directory, sweep)).rejects.toThrow('holds a sweep already');
});

test('no name of a folder leads out of the directory, and no two are alike', () => {
  const folders = sweep.runs.map(({ folder }) => folder);
  expect(new Set(folders).size).toBe(folders.length);
  for (const folder of folders) expect(folder).toMatch(/^[\w=+,-][\w.=+,-]*$/);
});

test.each(['../evil', '/etc', '.', '..', '.git', 'a/b', ''])(
  'a record whose folder is "%s" is none',
  async (folder) => {
    await writeSweep(directory, sweep);
    const path = join(directory, 'sweep.json');
    const record = JSON.parse(readFileSync(path, 'utf8')) as { runs: { folder: string }[] };
    writeFileSync(
      path,
      JSON.stringify({ ...record, runs: record.runs.slice(0, 1).map((run) => ({ ...run, folder })) }),
    );
    await expect(readSweep(directory)).rejects.toThrow(/describes? .*sweep/);
  },
);
