import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { JudgedPicture } from '../../core/contracts/benchmark.ts';
import type { PromptItem } from '../../core/contracts/dataset.ts';
import { copiesOf } from '../../core/evaluation/given-pictures.ts';
import { gridProblem, locatePictures, pictureOfGrid } from '../../core/evaluation/layouts.ts';
import { questionsOf, type QuestionedPrompt } from '../../plugins/dpg/questions.ts';
import { DpgCategories, judgeTile, summarizeDpg } from '../../plugins/dpg/verdict.ts';
import { genevalLayout } from '../../plugins/geneval/layout.ts';
import { type GenevalItem, lineOf } from '../../plugins/geneval/prompts.ts';
import { softTifa, spellings } from '../../plugins/geneval2/index.ts';
import { deepPosition, flatPosition, merged } from '../../plugins/t2i-compbench/geometry.ts';
import { depthWithin, readChunks, summarizeCategories as summarizeComp } from '../../plugins/t2i-compbench/index.ts';
import { deepScene, flatScene, nounChunks, numbersOf } from '../../plugins/t2i-compbench/language.ts';
import { readCompPrompts } from '../../plugins/t2i-compbench/prompts.ts';
import { chunkScore, complexScore, numeracyScore, spatialScore } from '../../plugins/t2i-compbench/verdict.ts';
import {
  wiseCategories,
  categoryOf,
  judgeAnswer,
  marksIn,
  modes,
  summarizeWise,
  wiScore,
} from '../../plugins/wise/score.ts';
import { root } from '../support/runs.ts';

const header =
  'item_id,text,keywords,proposition_id,dependency,category_broad,category_detailed,tuple,question_natural_language';
const row = (
  item: string,
  id: number,
  parents: string,
  tuple = 'entity - whole (x)',
  question = `Is it ${id}?`,
): string => `${item},a prompt of ${item},,${id},"${parents}",,,"${tuple}",${question}`;
const csv = (...rows: string[]): string => [header, ...rows].join('\n');

describe('DPG', () => {
  const chain = csv(row('skipped', 1, '0'), row('a', 1, '0'), row('a', 2, '1'), row('a', 3, '2'));
  const [item] = questionsOf(chain, 'official').filter(({ id }) => id === 'a');

  test('no from a parent is no for its children, and for theirs', () => {
    const verdict = judgeTile(item!, { 1: 'yes', 2: 'no', 3: 'yes' }, 'official');
    expect(verdict.score).toBeCloseTo(1 / 3, 12);
    expect(verdict.atoms?.map(({ raw }) => raw)).toEqual([1, 0, 1]);
    expect(judgeTile(item!, { 1: 'no', 2: 'yes', 3: 'yes' }, 'official').score).toBe(0);
    expect(judgeTile(item!, { 1: 'yes', 2: 'yes', 3: 'yes' }, 'official').pass).toBe(true);
  });

  test.each(['official', 'corrected'] as const)(
    '%s: what is found once of a verdict gives the same scores of any pictures',
    (mode) => {
      const kinds = ['entity - whole', 'entity - part', 'attribute - color', 'global'];
      const pictures = Array.from({ length: 24 }, (_, number): JudgedPicture => {
        const atoms = kinds.map((kind, at) => ({
          id: `${at}`,
          kind,
          score: (number >> at) % 2,
          raw: (number * at) % 2,
        }));
        const lost = number % 7 === 3 && { failure: 'judge' as const };
        return {
          prompt: 'p',
          task: 'dpg',
          specification: {},
          index: number >> 2,
          copy: number % 4,
          verdict: { pass: false, score: number / 24, why: '', atoms },
          ...lost,
        };
      });
      const known = new DpgCategories(mode);
      for (const [first, last] of [
        [0, 24],
        [4, 20],
        [8, 12],
        [0, 24],
      ])
        expect(summarizeDpg(pictures.slice(first, last), mode, known)).toEqual(
          summarizeDpg(pictures.slice(first, last), mode),
        );
    },
  );

  test('official takes exactly yes for yes; corrected reads it, and says what it could not read', () => {
    for (const answer of ['Yes', 'yes.', 'Yes, it is'])
      expect([answer, judgeTile(item!, { 1: answer, 2: answer, 3: answer }, 'official').score]).toEqual([answer, 0]);
    expect(judgeTile(item!, { 1: 'Yes', 2: 'yes.', 3: ' "yes' }, 'corrected').score).toBe(1);
    expect(judgeTile(item!, { 1: 'yesterday', 2: 'No', 3: 'no' }, 'corrected')).toMatchObject({
      score: 0,
      unparsed: true,
    });
    // The answer quotes the question: it does not say yes by that.
    expect(judgeTile(item!, { 1: 'Is it 1? yes', 2: '', 3: '' }, 'corrected').score).toBe(0);
  });

  test('the mistakes of the published scorer are official, and mended in corrected mode', () => {
    // The first row of data is taken for the header; its children then have no parent.
    const torn = csv(row('a', 1, '0'), row('a', 2, '1'), row('b', 1, '0'));
    expect(questionsOf(torn, 'official')).toMatchObject([{ id: 'a', isDropped: true }, { id: 'b' }]);
    expect(questionsOf(torn, 'corrected').map(({ questions }) => questions.length)).toEqual([2, 1]);
    // A later block of an item replaces an earlier one.
    const twice = csv(row('x', 1, '0'), row('a', 1, '0'), row('b', 1, '0'), row('a', 2, '0'));
    expect(
      questionsOf(twice, 'official')
        .find(({ id }) => id === 'a')
        ?.questions.map(({ id }) => id),
    ).toEqual(['2']);
    expect(
      questionsOf(twice, 'corrected')
        .find(({ id }) => id === 'a')
        ?.questions.map(({ id }) => id),
    ).toEqual(['1', '2']);
    // Parents that are not there, no numbers, the question itself, later ones, circles.
    const wild = csv(
      row('a', 1, '3'),
      row('a', 2, '9'),
      row('a', 3, 'x'),
      row('a', 4, '4'),
      row('a', 5, '6'),
      row('a', 6, '5'),
    );
    const [mended] = questionsOf(wild, 'corrected');
    expect(mended?.questions.map(({ id, parents }) => [id, parents])).toEqual([
      ['3', []],
      ['1', ['3']],
      ['2', []],
      ['4', []],
      ['6', []],
      ['5', ['6']],
    ]);
  });

  test('a file that is no question graph is refused by place', () => {
    expect(() => questionsOf('a,b\n1,2\n', 'official', 'q.csv')).toThrow('it has no column item_id');
    expect(() => questionsOf(`${header}\n1,2\n`, 'official', 'q.csv')).toThrow('this row has 2 columns, the header 9');
    expect(() => questionsOf(`${header}\n"1,2\n`, 'official', 'q.csv')).toThrow('a quote is never closed');
  });

  test('headline and categories, official and corrected', () => {
    const tuples = ['entity - whole (x)', 'attribute - color (x, red)'];
    const graph = csv(row('skipped', 1, '0'), row('a', 1, '0', tuples[0]), row('a', 2, '1', tuples[1]));
    const [one] = questionsOf(graph, 'official').filter(({ id }) => id === 'a');
    const picture = (copy: number, first: string, second: string, failure?: 'judge'): JudgedPicture => {
      const verdict = judgeTile(one!, { 1: first, 2: second }, 'official');
      const score = verdict.score ?? 0;
      return {
        prompt: '',
        task: 'dpg',
        specification: one,
        index: 0,
        copy,
        verdict: { ...verdict, score },
        ...(failure && { failure }),
      };
    };
    const tiles = [
      picture(0, 'yes', 'yes'),
      picture(1, 'yes', 'yes'),
      picture(2, 'yes', 'no'),
      picture(3, 'no', 'yes'),
    ];
    const official = summarizeDpg(tiles, 'official');
    expect(official.headline.value).toBeCloseTo((100 * (1 + 1 + 0.5 + 0)) / 4, 12);
    // The last picture only, and its raw answers.
    expect(official.scores).toEqual({ entity: 0, 'entity - whole': 0, attribute: 100, 'attribute - color': 100 });
    const corrected = summarizeDpg(tiles, 'corrected');
    expect(corrected.scores).toEqual({ entity: 75, 'entity - whole': 75, attribute: 50, 'attribute - color': 50 });
    // A picture without a verdict: left out officially, wrong otherwise.
    const lost = [...tiles.slice(0, 3), { ...picture(3, 'no', 'no'), failure: 'judge' as const }];
    expect(summarizeDpg(lost, 'official').headline.value).toBeCloseTo((100 * 2.5) / 3, 12);
    expect(summarizeDpg(lost, 'corrected').headline.value).toBeCloseTo((100 * 2.5) / 4, 12);
  });

  test('pictures are cut out of the grid row by row; another size is told', () => {
    const grid = { rows: 2, columns: 2 };
    const data = Uint8Array.from({ length: 4 * 2 * 3 }, (_, at) => Math.floor(at / 3));
    const corner = (copy: number): number => pictureOfGrid({ width: 4, height: 2, data }, grid, copy).data[0] ?? -1;
    expect([0, 1, 2, 3].map(corner)).toEqual([0, 2, 4, 6]);
    expect(gridProblem({ width: 5, height: 4 }, grid)).toBe('5 x 4 pixels are no 2 x 2 pictures of one size');
    expect(gridProblem({ width: 768, height: 768 }, { ...grid, tile: 384 })).toBeUndefined();
    expect(gridProblem({ width: 384, height: 384 }, { ...grid, tile: 384 })).toContain('of 384 x 384');
  });
});

describe('T2I-CompBench', () => {
  const found = (label: string, score: number, ...box: [number, number, number, number]) => ({ label, score, box });

  test('a chunk that is not there counts as yes', () => {
    expect(chunkScore(['a', 'b'], { a: 0.9, b: 0.8 })).toBeCloseTo(0.72, 12);
    expect(chunkScore(['a', 'b', 'a'], { a: 0.9, b: 0.8 })).toBeCloseTo(0.648, 12);
    expect(chunkScore([], {})).toBe(1);
  });

  test('places in the picture', () => {
    const spatial = (phrase: string, ...objects: ReturnType<typeof found>[]) =>
      spatialScore(`a cup ${phrase} a dog`, objects);
    expect(
      spatial('on the right of', found('cup', 0.9, 300, 100, 400, 200), found('dog', 0.8, 100, 100, 200, 200)),
    ).toBeCloseTo(0.925, 12);
    const [a, b] = [
      [0, 0, 200, 200],
      [100, 0, 300, 200],
    ] as const;
    expect(flatPosition('left', a, b)).toBeCloseTo(0.3, 12);
    expect(spatial('on the left of', found('cup', 0.9, ...a), found('dog', 0.9, ...b))).toBeCloseTo(0.6, 12);
    expect(flatPosition('near', [0, 0, 100, 100], [300, 400, 400, 480])).toBeCloseTo(0.3846, 4);
    expect(spatial('next to', found('cup', 0.9, 0, 0, 9, 9))).toBe(0);
    expect(spatialScore('a cup next to a dog', [found('cup', 0.9, 0, 0, 9, 9)], false)).toBeCloseTo(0.225, 12);
    // Known, and without a rule.
    expect(flatPosition('none', [0, 0, 9, 9], [0, 20, 9, 29])).toBe(0);
    expect(
      spatialScore('a girl on the top of a frog', [found('person', 1, 0, 0, 9, 9), found('frog', 1, 0, 50, 9, 59)]),
    ).toBe(1);
  });

  test('nearer and further', () => {
    const [near, far] = [
      { ...found('dog', 1, 0, 0, 10, 10), depth: 0.9 },
      { ...found('desk', 1, 0, 0, 10, 30), depth: 0.2 },
    ];
    expect(deepPosition('front', near, far)).toBeCloseTo(1 / 3 / 0.5, 12);
    expect(deepPosition('behind', near, far)).toBe(0);
    expect(deepPosition('front', near, { ...far, box: [20, 20, 30, 30] })).toBe(0);
    const map = { width: 2, height: 1, values: Float32Array.of(3, 7) };
    expect(depthWithin(map, [50, 0, 100, 100], { width: 100, height: 100 })).toBe(1);
    expect(depthWithin(map, [0, 0, 50, 100], { width: 100, height: 100 })).toBe(0);
  });

  test('numbers: half for being there, half for being there as often', () => {
    const plurals = new Map([
      ['tent', 'tent'],
      ['tents', 'tent'],
      ['pigs', 'pig'],
      ['pig', 'pig'],
    ]);
    const objects = [found('tent', 0.9, 0, 0, 9, 9), found('tent', 0.9, 20, 0, 29, 9), found('pig', 0.9, 40, 0, 49, 9)];
    expect(numeracyScore('two tents and three pigs', objects, plurals)).toBe(0.75);
    // One tent, seen twice.
    expect(merged([...objects, found('tent', 0.5, 0, 0, 9, 8.5)])).toHaveLength(3);
    expect(numbersOf('four tents, two pigs and one tent', plurals)).toEqual([
      { noun: 'tent', count: 4 },
      { noun: 'pig', count: 2 },
      { noun: 'tent', count: 1 },
    ]);
  });

  test('three in one', () => {
    expect(complexScore('both', 0.6, 0.9, 0.3)).toBeCloseTo(0.6, 12);
    expect(complexScore('spatial', 0.6, 0.9, 0.3)).toBeCloseTo(0.75, 12);
    expect(complexScore('action', 0.6, 0.9, 0.3)).toBeCloseTo(0.45, 12);
  });

  test('prompts are read as their forms say', () => {
    expect(nounChunks('a green bench and a blue bowl')).toEqual(['a green bench', 'a blue bowl']);
    expect(nounChunks('rubber sole shoes and fluffy clouds')).toEqual(['rubber sole shoes', 'fluffy clouds']);
    expect(flatScene('The fluffy cat is on the left of the soft pillow.')).toEqual({
      first: 'fluffy cat',
      second: 'soft pillow',
      phrase: 'on the left of',
    });
    expect(deepScene('a chair hidden by a mouse')).toEqual({ first: 'chair', second: 'mouse', phrase: 'hidden by' });
  });

  test('what no judge can say is not available, and no part of the headline', () => {
    const picture = (task: string, index: number, exact?: number): JudgedPicture => ({
      prompt: '',
      task,
      specification: null,
      index,
      copy: 0,
      verdict: { pass: false, why: '', score: exact ?? 0, ...(exact !== undefined && { parts: { exact } }) },
    });
    const summary = summarizeComp([picture('color', 0, 0.4), picture('color', 1, 0.6), picture('numeracy', 2)]);
    expect(summary.headline).toEqual({ name: 'mean of color', value: 0.5 });
    expect(summary.scores).toEqual({ color: 0.5 });
    expect(summary.unavailable).toEqual({ numeracy: 'no judge of the run says all of `detect`' });
  });

  // The published prompts are not a part of this repository.
  const data = join(root, '../shared/data/t2i-compbench');
  test.runIf(existsSync(data))('the published prompts are read, each of its form', async () => {
    const { items, counts, plurals } = await readCompPrompts(data, undefined, 10, new Map());
    expect(Object.values(counts)).toEqual(Array<number>(8).fill(300));
    const of = (task: string): string[] => items.filter((item) => item.task === task).map(({ prompt }) => prompt);
    expect(of('spatial').filter((prompt) => flatScene(prompt) === undefined)).toEqual([]);
    expect(of('3d_spatial').filter((prompt) => deepScene(prompt) === undefined)).toEqual([]);
    expect(of('numeracy').filter((prompt) => numbersOf(prompt, plurals).length === 0).length).toBeLessThan(5);
    expect(of('color').filter((prompt) => nounChunks(prompt).length < 2).length).toBeLessThan(5);
  });
});

describe('GenEval 2', () => {
  test('Soft-TIFA: arithmetic and geometric mean', () => {
    const demand = {
      vqa_list: [
        ['How many cups?', 'two'],
        ['Which color?', 'red'],
      ] as [string, string][],
      skills: ['count', 'attribute'],
    };
    expect(softTifa(demand, [0.9, 0.4])).toMatchObject({ pass: false, parts: { am: 0.65 } });
    expect(softTifa(demand, [0.9, 0.4]).score).toBeCloseTo(0.6, 12);
    expect(softTifa(demand, [0.9, 0.4]).atoms?.map(({ kind }) => kind)).toEqual(['count', 'attribute']);
  });

  test('an answer is spelled as a model may begin it', () => {
    expect(spellings('two')).toEqual(['two', ' two', 'Two', ' Two', '2', ' 2']);
    expect(spellings('Red')).toEqual(['red', ' red', 'Red', ' Red']);
  });
});

describe('WISE', () => {
  test('WiScore: consistency counts most, realism and aesthetics less', () => {
    expect(wiScore({ consistency: 2, realism: 1, aesthetics: 1 })).toBeCloseTo(0.85, 12);
    expect(judgeAnswer('Consistency: 2\nRealism: 1\nAesthetics: 1', 'legacy')).toMatchObject({
      pass: false,
      score: 0.85,
    });
    expect(judgeAnswer('**Consistency:** 2\n- Realism: 2\nAesthetic Quality: 2\n', 'legacy')).toMatchObject({
      pass: true,
      score: 1,
    });
    expect(judgeAnswer('1', 'verified')).toMatchObject({ pass: true });
    expect(judgeAnswer('Score: 0.', 'verified')).toMatchObject({ pass: false });
  });

  test.each([
    'Consistency: 2\nRealism: 1',
    'Consistency: 3\nRealism: 1\nAesthetics: 1',
    'Consistency: 2 where it is shown\nRealism: 1\nAesthetics: 1',
    'You asked: "Consistency: 2". Realism: 2, Aesthetics: 2',
    'Consistency: 2\nConsistency: 0\nRealism: 1\nAesthetics: 1',
    '',
  ])('an answer without each mark once, on a line of its own, says nothing: %j', (answer) => {
    expect(marksIn(answer)).toBeUndefined();
    expect(judgeAnswer(answer, 'legacy')).toMatchObject({ pass: false, score: 0, unparsed: true });
  });

  test('verified reads one digit and nothing else', () => {
    for (const answer of ['10', 'it is not 1', '1 or 0', 'yes'])
      expect(judgeAnswer(answer, 'verified')).toMatchObject({ pass: false, unparsed: true });
  });

  test.each(modes)('%s: categories by number, weights of the overall score', (mode) => {
    expect(wiseCategories[mode].reduce((sum, { weight }) => sum + weight, 0)).toBeCloseTo(1, 12);
    expect([0, 1, 400, 401, 1000, 1001].map((id) => categoryOf(id, mode))).toEqual([
      undefined,
      'culture',
      'culture',
      'time',
      'chemistry',
      undefined,
    ]);
    expect([520, 521, 567, 568].map((id) => categoryOf(id, mode))).toEqual(
      mode === 'legacy' ? ['time', 'time', 'time', 'space'] : ['time', 'space', 'space', 'space'],
    );
    const of = (task: string, score: number): JudgedPicture => ({
      prompt: '',
      task,
      specification: {},
      index: 0,
      copy: 0,
      verdict: { pass: score === 1, score, why: '' },
    });
    const all = wiseCategories[mode].map(({ name }) => of(name, name === 'culture' ? 1 : 0.5));
    expect(summarizeWise(all, mode).headline.value).toBeCloseTo(0.7, 12);
    // Of those alone that there are pictures of.
    expect(summarizeWise([of('culture', 1), of('time', 0)], mode).headline.value).toBeCloseTo(
      mode === 'legacy' ? 0.4 / 0.567 : 0.4 / 0.52,
      12,
    );
  });
});

describe("GenEval's folders belong to the prompts of their words", () => {
  const dog = { tag: 'single_object', include: [{ class: 'dog', count: 1 }] };
  const itemOf = (prompt: string, more: Partial<GenevalItem> = {}): PromptItem => {
    const specification = { ...dog, ...more, prompt };
    return { prompt, task: specification.tag, specification };
  };
  const items = ['a photo of a dog', 'a photo of one dog', 'a picture of a dog'].map((prompt) => itemOf(prompt));
  const cat = itemOf('a photo of a cat', { include: [{ class: 'cat', count: 1 }] });
  const located = async (
    wanted: readonly PromptItem[],
    folders: Readonly<Record<string, PromptItem>>,
  ): Promise<string[]> => {
    const files = Object.entries(folders).map(([folder, item]) => [
      `${folder}/metadata.jsonl`,
      lineOf(item.specification as GenevalItem),
    ]);
    const text = new Map(files as [string, string][]);
    const paths = [...text.keys(), ...Object.keys(folders).map((folder) => `${folder}/samples/0000.png`)];
    const found = await genevalLayout.locate?.({ paths, text: async (path) => text.get(path) ?? '' }, wanted);
    return (found ?? []).map(({ path, index, copy, item }) =>
      `${path.slice(0, 5)} ${index} ${copy} ${item?.prompt ?? ''}`.trim(),
    );
  };

  test('where several demand the same', async () => {
    const [one, two, three] = items as [PromptItem, PromptItem, PromptItem];
    expect(await located(items, { '00000': one, '00001': two, '00002': three })).toEqual([
      '00000 0 0',
      '00001 1 0',
      '00002 2 0',
    ]);
    expect(await located(items, { '00000': three, '00001': one, '00002': two })).toEqual([
      '00000 2 0',
      '00001 0 0',
      '00002 1 0',
    ]);
  });

  test('where one stands there twice, each has pictures of its own', async () => {
    const twice = [cat, cat];
    expect(await located(twice, { '00000': cat, '00001': cat })).toEqual(['00000 0 0', '00001 1 0']);
    expect(await located(twice, { '00007': cat, '00008': cat })).toEqual(['00007 0 0', '00008 1 0']);
  });

  test('in other words to the one that demands the same, if it is one', async () => {
    const other = itemOf('a dog');
    expect(await located([cat, ...items.slice(0, 1)], { '00000': other })).toEqual(['00000 1 0 a dog']);
    expect(await located(items, { '00001': other })).toEqual(['00001 1 0 a dog']);
    await expect(located(items, { '00009': other })).rejects.toThrow('might be several');
  });
});

test.each<readonly [counts: readonly number[], wanted: number, copies: number]>([
  [[4, 4, 4], 4, 4],
  [[5, 4, 4], 4, 4],
  [[4, 3, 3], 4, 4],
  [[1, 1, 1], 4, 1],
  [[8, 8, 8], 4, 8],
  [[2], 4, 2],
])('of prompts with %j pictures where %i are wanted %i count', (counts, wanted, copies) => {
  expect(copiesOf(counts, wanted)).toBe(copies);
});

describe('what T2I-CompBench is not told it does not take for right', () => {
  const folder = mkdtempSync(join(tmpdir(), 'reasongen-compbench-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  test.each([
    '{"prompt":"a red book","chunk":["a red book"]}',
    '{"prompt":"x","chunks":"x"}',
    '{"prompt":"x","chunks":[""]}',
  ])('noun chunks: %s', async (line) => {
    const file = join(folder, 'chunks.jsonl');
    writeFileSync(file, `{"prompt":"a","chunks":[]}\n${line}\n`);
    await expect(readChunks(file)).rejects.toMatchObject({ code: 'BAD_CHUNKS', place: expect.stringMatching(/:2$/) });
  });

  test('the nouns of numeracy; and prompts whose chunks are found by rules are counted', async () => {
    writeFileSync(join(folder, 'numeracy_val.txt'), 'two dogs\n');
    writeFileSync(join(folder, 'color_val.txt'), 'a red book\na blue dog\n');
    await expect(readCompPrompts(folder, undefined, 1, new Map())).rejects.toThrow('new_objects.txt');
    writeFileSync(join(folder, 'new_objects.txt'), 'dog - dogs\n');
    const { ruled } = await readCompPrompts(folder, undefined, 1, new Map([['a red book', ['a red book']]]));
    expect(ruled).toBe(1);
  });
});

test.each([
  ['yes', undefined],
  ['no', undefined],
  ['Yes', true],
  ['it is', true],
])('the answer %j of an official DPG-Bench is told where it is neither yes nor no', (answer, unparsed) => {
  const question = { id: '1', parents: [], category: 'entity', text: 'is it?', tuple: '' };
  const verdict = judgeTile({ questions: [question] } as unknown as QuestionedPrompt, { 1: answer }, 'official');
  expect(verdict.unparsed).toBe(unparsed);
  expect(verdict.score).toBe(Number(answer === 'yes'));
});

test('a layout that gives all pictures of a prompt one name has one picture of each', async () => {
  const folder = { paths: ['0.png', '1.png'], text: () => Promise.reject(new Error('nothing to read')) };
  const items = ['a', 'b', 'c'].map((prompt) => ({ prompt, task: '', specification: null }));
  expect(await locatePictures({ file: (_item, index) => `${index}.png` }, folder, items)).toEqual([
    { path: '0.png', index: 0, copy: 0 },
    { path: '1.png', index: 1, copy: 0 },
  ]);
});

test(
  'the questions of DSG-1k survive their own defects',
  { skip: !existsSync(join(root, '../shared/data/dsg-1k')) },
  () => {
    const text = readFileSync(join(root, '../shared/data/dsg-1k/dsg-1k-anns.csv'), 'utf8');
    const items = questionsOf(text, 'corrected');
    expect(items).toHaveLength(1060);
    expect(items.flatMap(({ questions }) => questions)).toHaveLength(8182);
    for (const { questions } of items) {
      const seen = new Set<string>();
      for (const { id, parents } of questions) {
        expect(parents.every((parent) => seen.has(parent))).toBe(true);
        seen.add(id);
      }
    }
  },
);
