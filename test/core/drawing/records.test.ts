/** Records of drawings, as they were left by a kill, by another program or by somebody who means ill. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { DrawingRecords, type DrawingRecord } from '../../../core/drawing/records.ts';
import { readSide } from '../../../core/report/sides.ts';

const base = mkdtempSync(join(tmpdir(), 'drawing-records-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));
let count = 0;

const settings = { seed: 1, guidance: 2.5, model: 'x' };
const prompts = ['red', 'blue', 'green'];

const recordOf = (index: number): DrawingRecord => ({
  index,
  file: `0000${index}.png`,
  prompt: prompts[index] ?? '',
  rationale: 'because',
  rationaleGiven: false,
  rationaleEnded: true,
  settings,
  codes: [1, 2, 3],
});

const open = (folder: string): Promise<DrawingRecords> =>
  DrawingRecords.open({ folder, settings, prompt: (index) => prompts[index] });

async function drawn(): Promise<string> {
  const folder = join(base, String(++count));
  mkdirSync(folder);
  const records = await open(folder);
  for (const index of [0, 1, 2]) await records.add([recordOf(index)], Buffer.from(`picture ${index}`));
  return folder;
}

const linesOf = (folder: string): string[] => readFileSync(join(folder, 'drawings.jsonl'), 'utf8').split('\n');

describe('records of drawings', () => {
  test('are read back', async () => {
    const records = await open(await drawn());
    expect(records.count).toBe(3);
    expect(records.get(1)).toMatchObject({ prompt: 'blue', codes: [1, 2, 3], file: '00001.png', settings });
  });

  const spoiled: readonly (readonly [what: string, spoil: (line: string) => string])[] = [
    ['without its line break', (line) => line],
    ['cut off', (line) => `${line.slice(0, -5)}\n`],
    ['null', () => 'null\n'],
    ['a list', () => '[]\n'],
    ['a text', () => '"blue"\n'],
    ['with a code below 0', (line) => `${line.replace('[1,2,3]', '[1,-2,3]')}\n`],
    ['with a code that is a text', (line) => `${line.replace('[1,2,3]', '[1,"2",3]')}\n`],
    ['with codes that are no list', (line) => `${line.replace('[1,2,3]', '{"length":3}')}\n`],
    ['with an index that is too large to count', (line) => `${line.replace('"index":2', '"index":1e300')}\n`],
    ['with a prompt that is a number', (line) => `${line.replace('"green"', '5')}\n`],
    ['with a name of another picture', (line) => `${line.replace('00002.png', '00001.png')}\n`],
    ['with a name that leads outside', (line) => `${line.replace('00002.png', '../1/00002.png')}\n`],
    ['with another checksum', (line) => `${line.replace(/"sha256":"./, '"sha256":"x')}\n`],
  ];
  test.each(spoiled)(
    'a last line %s counts for nothing, and what is added stands on a line of its own',
    async (_, spoil) => {
      const folder = await drawn();
      const lines = linesOf(folder);
      writeFileSync(join(folder, 'drawings.jsonl'), `${lines.slice(0, 2).join('\n')}\n${spoil(lines[2] ?? '')}`);
      const records = await open(folder);
      expect(records.count).toBe(2);
      await records.add([recordOf(2)], Buffer.from('picture 2'));
      expect((await open(folder)).count).toBe(3);
      expect(linesOf(folder)).toEqual(lines);
    },
  );

  test('are refused where they or a picture are no files of the folder', async () => {
    const outside = join(base, 'outside.jsonl');
    const linked = await drawn();
    writeFileSync(outside, readFileSync(join(linked, 'drawings.jsonl')));
    rmSync(join(linked, 'drawings.jsonl'));
    symlinkSync(outside, join(linked, 'drawings.jsonl'));
    await expect(open(linked)).rejects.toMatchObject({ code: 'BAD_RECORD' });
    const piped = await drawn();
    rmSync(join(piped, 'drawings.jsonl'));
    execFileSync('mkfifo', [join(piped, 'drawings.jsonl')]);
    await expect(open(piped)).rejects.toMatchObject({ code: 'BAD_RECORD' });
    for (const put of [
      (path: string) => mkdirSync(path),
      (path: string) => execFileSync('mkfifo', [path]),
      (path: string) => symlinkSync('/dev/zero', path),
    ]) {
      const folder = await drawn();
      rmSync(join(folder, '00001.png'));
      put(join(folder, '00001.png'));
      await expect(open(folder)).rejects.toMatchObject({ code: 'BAD_RECORD', place: join(folder, '00001.png') });
    }
  });

  test('are compared by what their lines say, torn ones left out', async () => {
    const folder = await drawn();
    const lines = linesOf(folder);
    writeFileSync(join(folder, 'drawings.jsonl'), `${lines.slice(0, 2).join('\n')}\nnull\n{"index":`);
    const { drawings } = await readSide(folder);
    expect(drawings.map(({ prompt }) => prompt)).toEqual(['red', 'blue']);
  });
});
