/** Questions about pictures that the model answers itself, before and after it is trained, as an ordinary evaluation. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readRunRecords } from '../../core/io/records.ts';
import { encodePng } from '../../core/io/image.ts';
import { randomWords } from '../../core/testing.ts';
import { grade, type AskedQuestion } from '../../plugins/understanding/grade.ts';
import { janusFolder } from '../support/janus-folder.ts';
import { Workplace } from '../support/runs.ts';

const place = new Workplace();

const asked = (more: Partial<AskedQuestion>): AskedQuestion => ({
  picture: 'a.png',
  question: 'How many dogs?',
  answers: ['two'],
  how: 'exact',
  choices: [],
  ...more,
});
const said = (text: string, ended = true): { text: string; ended: boolean } => ({ text, ended });

describe('what is right', () => {
  test.each([
    ['Two', true],
    ['2.', true],
    ['the two', true],
    ['two dogs', false],
    ['twenty-two', false],
    ['', false],
  ])('exact: %j is %s', (text, pass) => expect(grade(asked({}), said(text)).pass).toBe(pass));

  test('one of several right answers is right', () => {
    const several = asked({ answers: ['sofa', 'couch'] });
    expect(['A couch!', 'Sofa', 'chair'].map((text) => grade(several, said(text)).pass)).toEqual([true, true, false]);
  });

  test('yes and no are read at the beginning; what is neither is wrong and counted as unread', () => {
    const no = asked({ answers: ['no'], how: 'yes-no', choices: ['yes', 'no'] });
    expect(grade(no, said('No, it is a cat')).pass).toBe(true);
    expect(grade(no, said('Yes')).pass).toBe(false);
    expect(grade(no, said('It is not'))).toMatchObject({ pass: false, unparsed: true });
    expect(grade(no, said('Now you see it'))).toMatchObject({ pass: false, unparsed: true });
  });

  test('graded: the share of the right choice among all, whatever else was likely', () => {
    const color = asked({ answers: ['red'], how: 'graded', choices: ['red', 'blue'] });
    expect(grade(color, { likely: [0.375, 0.125] })).toMatchObject({ pass: true, score: 0.75 });
    expect(grade(color, { likely: [0.125, 0.375] })).toMatchObject({ pass: false, score: 0.25 });
    expect(grade(color, { likely: [0, 0] })).toMatchObject({ pass: false, score: 0 });
  });
});

async function photo(name: string, seed: number): Promise<string> {
  const data = Uint8Array.from(randomWords(20 * 12 * 3, seed, 256));
  return place.write(name, await encodePng({ width: 20, height: 12, data }));
}

const lines = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('');
const small = [
  '--set',
  'benchmarks.understanding.questionTokens=1024',
  '--set',
  'benchmarks.understanding.answerTokens=8',
];

describe('a run', () => {
  test('evaluate --questions asks as `ask` does, keeps every answer, and compares', async () => {
    const folder = janusFolder(place.path('model'), 'tiny-a');
    const other = janusFolder(place.path('other'), 'tiny-b');
    const image = await photo('one.png', 1);
    await photo('two.png', 2);
    const answered = place.free('asked');
    const ask = await place.command(
      ...[
        'ask',
        'What is it?',
        '--image',
        image,
        '--model',
        folder,
        '--out',
        answered,
        '--set',
        'recipe.answerTokens=8',
      ],
    );
    expect(ask.code, ask.errors).toBe(0);
    const { answer, ended } = JSON.parse(readFileSync(join(answered, 'answers.jsonl'), 'utf8')) as {
      answer: string;
      ended: boolean;
    };
    const questions = place.write(
      'questions.jsonl',
      lines([
        { picture: 'one.png', question: 'What is it?', answer: 'no such thing' },
        { picture: 'two.png', question: 'Is it red?', answer: 'no', task: 'colors' },
        { picture: 'one.png', question: 'Which?', answer: 'red', choices: ['red', 'blue', 'green'], task: 'colors' },
      ]),
    );
    const run = async (model: string): Promise<string> => {
      const directory = place.free('evaluated');
      const { code, errors, output } = await place.command(
        ...['evaluate', '--model', model, '--questions', questions, '--run-dir', directory, ...small],
      );
      expect(code, errors).toBe(0);
      expect(output).toMatch(/^understanding, heldout: \d of 3 pass|understanding/);
      return directory;
    };
    const [a, b] = [await run(folder), await run(other)];
    const [record] = (await readRunRecords(a)).evaluations;
    expect(record).toMatchObject({ benchmark: 'understanding', split: 'heldout', count: 3, overall: { total: 3 } });
    expect(record?.tasks).toMatchObject({ understanding: { total: 1 }, colors: { total: 2 } });
    expect(record?.verdicts?.map(({ prompt }) => prompt)).toEqual(['What is it?', 'Is it red?', 'Which?']);
    expect(record?.verdicts?.[0]?.why).toBe(`"${answer}"${ended ? '' : ' (cut off)'}, and right is no such thing`);
    expect(record?.verdicts?.[2]?.score).toBeGreaterThan(0);
    expect(record?.samples).toHaveLength(3);
    const compared = await place.command('compare', a, b);
    expect(compared.code, compared.errors).toBe(0);
    expect(compared.output).toContain('understanding');
  });

  test('a GRPO run measures it before and after, without drawing for it', async () => {
    const folder = janusFolder(place.path('trained'), 'tiny-b');
    await photo('one.png', 1);
    const questions = place.write(
      'graded.jsonl',
      lines([
        { picture: 'one.png', question: 'Is it red?', answer: 'yes', how: 'graded' },
        { picture: 'one.png', question: 'Is it blue?', answer: 'no', how: 'graded' },
      ]),
    );
    const { directory } = await place.run(
      place.preset(
        'grpo',
        `tokenizer: { use: huggingface, file: ${folder}, rationaleQuestion: '{prompt}:' }
imageTokenizer: { use: vq, checkpoint: ${folder} }
backbone: { use: janus-checkpoint, checkpoint: ${folder} }
rewards: [is-color]
benchmarks: [{ use: understanding, questions: ${questions}, questionTokens: 1024, answerTokens: 4 }]
optimizer: { use: adamw, learningRate: 1e-3 }
recipe: { use: grpo, weights: ${folder}, steps: 2, prompts: 2, groupSize: 4, rationaleTokens: 8, promptTokens: 64, evaluations: 2 }`,
      ),
    );
    const { evaluations } = await readRunRecords(directory);
    const [before, after] = evaluations.filter(({ benchmark }) => benchmark === 'understanding');
    expect([before?.label, after?.label]).toEqual(['before', 'after']);
    expect(before?.verdicts).toHaveLength(2);
    expect(after?.verdicts?.map(({ score }) => score)).not.toEqual(before?.verdicts?.map(({ score }) => score));
    const report = await place.command('report', directory);
    expect(readFileSync(report.output.trim(), 'utf8')).toContain('Is it blue?');
  });

  test.each<[string, object, RegExp]>([
    ['no picture', { question: 'What?', answer: 'it' }, /picture/],
    ['a picture that is not there', { picture: 'gone.png', question: 'What?', answer: 'it' }, /gone\.png/],
    ['no answer', { picture: 'one.png', question: 'What?' }, /answer/],
    ['an unknown way', { picture: 'one.png', question: 'What?', answer: 'it', how: 'guess' }, /how/],
    [
      'a word where yes or no is meant',
      { picture: 'one.png', question: 'Red?', answer: 'red', how: 'yes-no' },
      /yes or no/,
    ],
    [
      'an answer beside its choices',
      { picture: 'one.png', question: 'Which?', answer: 'red', choices: ['blue', 'green'] },
      /none of its choices/,
    ],
  ])('a line with %s is refused with its place', async (_, row, says) => {
    await photo('one.png', 1);
    const file = place.write('bad.jsonl', lines([{ picture: 'one.png', question: 'What?', answer: 'it' }, row]));
    const folder = janusFolder(place.path('bad'), 'tiny-a');
    const { code, errors } = await place.command(
      'evaluate',
      '--model',
      folder,
      '--questions',
      file,
      '--run-dir',
      place.free(),
    );
    expect(code).toBe(2);
    expect(errors).toContain('BAD_PROMPT_LINE');
    expect(errors).toContain(`${file}:2`);
    expect(errors).toMatch(says);
  });
});
