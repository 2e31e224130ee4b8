/** `generate --layout` and `evaluate --pictures`: what one writes the other reads, every picture as that of its prompt, by one preset. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Evaluation } from '../../../core/contracts/evaluation.ts';
import { readRunRecords } from '../../../core/io/records.ts';
import { root, Workplace } from '../../support/runs.ts';

const place = new Workplace();
/** Sees two cups, and says yes. */
const eye = `
import { defineJudge, definePlugin, z } from '${join(root, 'core/plugin.ts')}';
export default definePlugin({ name: 'eye', provides: [defineJudge({
  name: 'eye', summary: 'a scripted judge', options: z.strictObject({}),
  create: () => ({
    title: 'Eye', fingerprint: { model: 'eye' },
    detect: async () => [{ label: 'cup', score: 0.95, box: [0, 0, 2, 2] }, { label: 'cup', score: 0.92, box: [2, 0, 4, 2] }],
    classify: async (image, object, labels) => labels.map((label) => (label === 'red' ? 1 : 0)),
    answer: async (image, question) =>
      !question.includes('three marks') ? 'yes'
      : question.includes('the bird of {explanation} and $&') && question.includes('means: a kiwi')
      ? 'Consistency: 2\\nRealism: 1\\nAesthetics: 1' : 'none',
    answerProbabilities: async (image, question, answers) => answers.map((_, index) => (index === 0 ? 0.6 : 0.2)),
    similarity: async (image, texts) => texts.map(() => 0.3),
  }) })] });`;

const header =
  'item_id,text,keywords,proposition_id,dependency,category_broad,category_detailed,tuple,question_natural_language';
let preset = '';
beforeAll(async () => {
  const { directory } = await place.halfTaught();
  place.write('eye.ts', eye);
  place.write(
    'geneval.jsonl',
    [
      { tag: 'single_object', include: [{ class: 'cup', count: 1 }], prompt: 'a photo of a cup' },
      {
        tag: 'counting',
        include: [{ class: 'cup', count: 3 }],
        exclude: [{ class: 'cup', count: 4 }],
        prompt: 'a photo of three cups',
      },
      { tag: 'colors', include: [{ class: 'cup', count: 1, color: 'red' }], prompt: 'a photo of a red cup' },
    ]
      .map((line) => `${JSON.stringify(line)}\n`)
      .join(''),
  );
  place.write(
    'dpg.csv',
    [
      header,
      ...['one', 'two'].map((id) => `${id},a red picture of ${id},,1,0,,,"entity - whole (x)",Is it ${id}?`),
    ].join('\n'),
  );
  place.write(
    'wise.json',
    JSON.stringify([
      { Prompt: 'the bird of {explanation} and $&', Explanation: 'a kiwi', prompt_id: 7 },
      { Prompt: 'noon', Explanation: 'short shadows', prompt_id: 401 },
    ]),
  );
  mkdirSync(place.path('comp'));
  place.write('comp/color_val.txt', 'a green bench and a blue bowl\r\na red cup\r\na red cup\r\n');
  place.write('comp/non_spatial_val.txt', 'a cup stands\r\n');
  preset = place.preset(
    'layouts',
    `plugins: [./eye.ts]
judges: [eye]
benchmarks:
  - { use: geneval, prompts: geneval.jsonl }
  - { use: dpg, questions: dpg.csv, mode: corrected }
  - { use: t2i-compbench, prompts: comp, samplesPerPrompt: 2 }
  - { use: wise, prompts: wise.json }
recipe: { use: generate, weights: ${directory}, rationale: false, promptTokens: 100 }
`,
  );
});

async function roundTrip(benchmark: string, first: string, ...settings: string[]): Promise<Evaluation> {
  const [drawn, judged] = [place.free('drawn'), place.free('judged')];
  const set = settings.flatMap((setting) => ['--set', setting]);
  const draw = await place.command('generate', '--preset', preset, '--layout', benchmark, '--out', drawn, ...set);
  expect(draw.code, draw.errors).toBe(0);
  const pictures = join(drawn, 'pictures', benchmark);
  expect(existsSync(join(pictures, first)), first).toBe(true);
  const judge = await place.command(
    ...['evaluate', preset, '--benchmark', benchmark, '--pictures', pictures, '--run-dir', judged],
  );
  expect(judge.code, judge.errors).toBe(0);
  const [evaluation] = (await readRunRecords(judged)).evaluations;
  expect(evaluation?.counts).toMatchObject({ missing: 0, unreadable: 0, judgeErrors: 0 });
  return evaluation as Evaluation;
}

describe('round trips', { timeout: 120_000 }, () => {
  test('GenEval', async () => {
    const { counts, subScores } = await roundTrip('geneval', '00002/samples/0003.png');
    expect(counts).toMatchObject({ prompts: 3, images: 12 });
    // Two cups are one cup, no three, and red.
    expect(Object.entries(subScores ?? {}).map(([name, { value }]) => [name, value])).toEqual(
      expect.arrayContaining([
        ['single_object', 1],
        ['counting', 0],
        ['colors', 1],
      ]),
    );
  });

  test('DPG-Bench, whose pictures lie four in a file', async () => {
    const { counts, headline } = await roundTrip('dpg', 'two.png');
    expect([counts?.prompts, counts?.images, headline?.value]).toEqual([2, 8, 100]);
  });

  test('T2I-CompBench, whose prompts are names of files', async () => {
    const { counts, subScores } = await roundTrip('t2i-compbench', 'color/samples/a red cup_000003.png');
    // One prompt stands there twice, as some do in the project's lists.
    expect(counts).toMatchObject({ prompts: 4, images: 8 });
    // 0.6 of 0.8 for each of two things, and for one; the cosine as it is.
    expect(subScores?.['color']?.value).toBeCloseTo((0.75 ** 2 + 0.75 + 0.75) / 3, 6);
    expect(subScores?.['non_spatial']?.value).toBeCloseTo(0.3, 6);
  });

  test('WISE, whose pictures are named by number; what cannot be read counts as wrong, and is counted', async () => {
    const { counts, headline, comparable } = await roundTrip('wise', '401.png');
    expect(counts).toMatchObject({ prompts: 2, images: 2, unparsed: 1 });
    expect(headline?.value).toBeCloseTo((0.4 * 0.85) / 0.567, 6);
    expect(comparable).toMatchObject({ yes: false });
  });

  test('options that the command line gives to the benchmark go behind those of the preset', async () => {
    const { counts } = await roundTrip(
      't2i-compbench',
      'color/samples/a red cup_000001.png',
      'benchmarks.t2i-compbench.samplesPerPrompt=1',
    );
    expect(counts).toMatchObject({ prompts: 4, images: 4 });
  });

  test('two prompts whose pictures would have one name are refused before anything is drawn', async () => {
    const out = place.free('shared');
    const wise = [7, 401, 7].map((id) => ({ Prompt: `noon ${id}`, Explanation: '', prompt_id: id }));
    const set = ['--set', `benchmarks.wise.prompts=${place.write('twice.json', JSON.stringify(wise))}`];
    const drawn = await place.command('generate', '--preset', preset, '--layout', 'wise', '--out', out, ...set);
    expect([drawn.code, drawn.errors]).toEqual([
      2,
      expect.stringMatching(/^SHARED_PICTURE\n.*prompts 0 and 2.*7\.png/m),
    ]);
    expect(existsSync(join(out, 'pictures'))).toBe(false);
  });

  test('a prompt that is too long is told of before anything is drawn', async () => {
    const out = place.free('long');
    const prompts = place.write('long.txt', `a red picture\n${'very '.repeat(100)}red\n`);
    const { code, errors } = await place.command(
      ...[
        'generate',
        '--preset',
        preset,
        '--out',
        out,
        '--set',
        `recipe.promptFile=${prompts}`,
        '--set',
        'recipe.batch=1',
      ],
    );
    expect([code, errors]).toEqual([2, expect.stringMatching(/^PROMPT_TOO_LONG/m)]);
    expect(existsSync(join(out, '00000.png'))).toBe(false);
  });
});
