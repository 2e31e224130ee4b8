/** Saved drawings are put on a sheet, and drawn again to the bit. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { decodePicture } from '../../../core/io/image.ts';
import { Workplace } from '../../support/runs.ts';

const place = new Workplace();
let run = '';

beforeAll(async () => {
  const { directory: weights } = await place.halfTaught();
  const preset = place.preset(
    'drawn',
    [
      'optimizer: { use: adamw, learningRate: 1e-3 }',
      'rewards: [is-color]',
      'extensions: [tensorboard]',
      `recipe: { use: grpo, weights: ${weights}, steps: 4, prompts: 2, groupSize: 4, saveEvery: 2, keep: 9, samplesEvery: 3, samplesShown: 5, evaluations: 4, evaluateEvery: 2 }`,
    ].join('\n'),
  );
  run = (await place.run(preset)).directory;
}, 60_000);

test('a sheet has a row for each prompt, and says what the rows are', async () => {
  const out = place.path('sheet.png');
  const end = await place.command('samples', run, '--step', '3', '--out', out, '--scale', '3');
  expect([end.code, end.output]).toEqual([0, `${out}\n`]);
  expect(end.errors).toMatch(/step 3: totals by row[^]*row 1 .*\n {2}row 2 /);
  const sheet = await decodePicture(readFileSync(out));
  const single = await decodePicture(readFileSync(join(run, 'samples/step-000003/000.png')));
  // Four drawings of the first prompt, one of the second; frames of 4 pixels, 4 between them.
  expect(sheet.width).toBe(4 * (3 * single.width + 8) + 3 * 4);
  expect(sheet.height).toBe(2 * (3 * single.height + 8) + 4);
});

test('a step without saved drawings, and a number beyond them, are refused with those there are', async () => {
  expect((await place.command('samples', run, '--step', '2')).errors).toMatch(/NO_SAMPLES[^]*the steps 1, 3/);
  expect((await place.command('replay', run, '--step', '3', '--sample', '5')).errors).toMatch(/--sample 0 to 4/);
});

test('a picture that is missing or cut off is named', async () => {
  const path = join(run, 'samples/step-000001/001.png');
  const saved = readFileSync(path);
  for (const [content, said] of [
    [saved.subarray(0, saved.length - 20), 'damaged or cut off'],
    [Buffer.from('<svg>'), 'is missing, or no PNG'],
  ] as const) {
    writeFileSync(path, content);
    const end = await place.command('samples', run, '--step', '1', '--out', place.path('none.png'));
    expect([end.code, end.errors]).toEqual([6, expect.stringContaining(`BAD_RECORD  ${path}`)]);
    expect(end.errors).toContain(said);
  }
  writeFileSync(path, saved);
});

test.each([
  ['1', 'from the beginning'],
  ['3', 'from step 2'],
])(
  'a drawing of step %s comes back to the bit, %s; the run stays as it was',
  async (step, from) => {
    const before = readdirSync(run, { recursive: true }).map(String).sort();
    const end = await place.command('replay', run, '--step', step, '--sample', '4');
    expect(end.code, end.errors + end.output).toBe(0);
    expect(end.output).toMatch(/bit-equal: drawn again by /);
    expect(end.errors).toContain(from);
    expect(readdirSync(run, { recursive: true }).map(String).sort()).toEqual(before);
  },
  60_000,
);

test('what is not the same is said, with exit code 1', async () => {
  const path = join(run, 'samples/step-000003/samples.jsonl');
  const saved = readFileSync(path, 'utf8');
  const [first = '', ...rest] = saved.split('\n');
  const record = JSON.parse(first) as { codes: number[]; rationale: string };
  const other = {
    ...record,
    rationale: 'another',
    codes: record.codes.map((code, index) => (index === 0 ? code + 1 : code)),
  };
  writeFileSync(path, [JSON.stringify(other), ...rest].join('\n'));
  const end = await place.command('replay', run, '--step', '3');
  writeFileSync(path, saved);
  expect(end.code).toBe(1);
  expect(end.output).toMatch(/not equal: [^]*the rationale is [^]*1 of \d+ picture codes/);
  expect(existsSync(path)).toBe(true);
}, 60_000);
