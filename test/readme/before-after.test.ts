/** The picture of the first page: drawn from records, small, and of the run whose numbers stand beneath it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import type { Evaluation } from '../../core/contracts/evaluation.ts';
import type { Image } from '../../core/contracts/image.ts';
import { decodePicture, encodePng, readPngText } from '../../core/io/image.ts';
import type { RunRecords } from '../../core/io/records.ts';
import { root } from '../support/runs.ts';
import { drawBeforeAfter } from './before-after.ts';

const tasks = ['one', 'two', 'three', 'four'];
let square: string;

function evaluation(label: string, step: number, pass: (task: number) => boolean): Evaluation {
  const samples = tasks.map((task, index) => ({
    prompt: `<${task} & more>`,
    task,
    rationale: `plan : ${'a word of it '.repeat(index)}.`,
    image: square,
    pass: pass(index),
    why: '',
    scores: {},
  }));
  const passes = samples.filter((sample) => sample.pass).length;
  return {
    ...{ label, benchmark: 'b', step, split: 'heldout', seed: 0, count: 4, sampling: {}, extra: {}, samples },
    overall: { passes, total: 4 },
    tasks: Object.fromEntries(tasks.map((task) => [task, { passes: 0, total: 1 }])),
  };
}

function records(...evaluations: readonly Evaluation[]): RunRecords {
  const none = { versions: {}, adapter: { description: 'a device' }, hashes: {}, sessions: [] };
  const run = { format: 'reasongen-run', version: 1, name: 'mine', seeds: { run: 3 }, ...none } as const;
  return { directory: '', run, preset: '', metrics: [], badLines: 0, evaluations, samples: [] };
}

/** Pixels that nothing else in the picture resembles. */
const count = ({ data }: Image, [red, green, blue]: readonly [number, number, number]): number =>
  Array.from({ length: data.length / 3 }, (_each, pixel) => pixel * 3).filter(
    (at) => data[at] === red && data[at + 1] === green && data[at + 2] === blue,
  ).length;

beforeAll(async () => {
  const data = new Uint8Array(48 * 48 * 3).map((_value, index) => [255, 0, 255][index % 3] ?? 0);
  square = (await encodePng({ width: 48, height: 48, data })).toString('base64');
});

test('every prompt of the records is drawn before and after, four times as large', async () => {
  const png = await drawBeforeAfter(
    records(
      evaluation('before', 0, () => false),
      evaluation('after', 9, (task) => task > 1),
    ),
  );
  expect(count(await decodePicture(png), [255, 0, 255])).toBe(tasks.length * 2 * 192 * 192);
  expect(readPngText(png)).toEqual({
    ...{ run: 'mine', steps: '9', seed: '3', split: 'heldout', adapter: 'a device' },
    ...{ before: '0 of 4', after: '2 of 4' },
  });
});

test('a verdict changes the picture', async () => {
  const before = evaluation('before', 0, () => false);
  const draw = async (pass: boolean): Promise<Image> =>
    decodePicture(
      await drawBeforeAfter(
        records(
          before,
          evaluation('after', 9, () => pass),
        ),
      ),
    );
  expect((await draw(true)).data).not.toEqual((await draw(false)).data);
});

test('a run without an evaluation before training has no such picture', async () => {
  await expect(drawBeforeAfter(records(evaluation('after', 9, () => true)))).rejects.toThrow('before and after');
});

test('the picture of the first page is small, and of the run that stands beneath it', () => {
  const [, link = '', caption = ''] =
    /^!\[[^\]]+\]\(([^)]+)\)\n\n([^]*?)\n\n/m.exec(readFileSync(join(root, 'README.md'), 'utf8')) ?? [];
  const png = readFileSync(join(root, link));
  expect(png.length).toBeLessThan(100_000);
  const { run, steps, seed, split, before = '', after = '' } = readPngText(png);
  expect({ run, split }).toEqual({ run: 'quickstart', split: 'heldout' });
  const words = caption.replaceAll(/\s+/g, ' ');
  const [passes, total] = before.split(' of ');
  for (const fact of [`${steps} steps`, `seed ${seed}`, `Of ${total} held-out prompts ${passes} were right before`])
    expect(words).toContain(fact);
  expect(words).toContain(`and ${after.split(' of ')[0]} after`);
});
