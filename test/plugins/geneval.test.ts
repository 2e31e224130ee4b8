import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Evaluation, VerdictRecord } from '../../core/contracts/evaluation.ts';
import { encodePng } from '../../core/io/image.ts';
import { readRunRecords } from '../../core/io/records.ts';
import { Pcg64, stateWords } from '../../plugins/geneval/generator.ts';
import { overall } from '../../plugins/geneval/index.ts';
import { coco } from '../../plugins/geneval/ontology.ts';
import { generatePrompts, lineOf, type GenevalItem } from '../../plugins/geneval/prompts.ts';
import { judgePicture, positionsOf, type FoundObject } from '../../plugins/geneval/verdict.ts';
import { Workplace, root } from '../support/runs.ts';
import { drawShapes, shapeOntology, type Shape, type ShapeColor, type ShapeName } from '../support/shapes.ts';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const fileOf = (seed: number): string =>
  generatePrompts(coco, seed)
    .map((item) => `${lineOf(item)}\n`)
    .join('');

describe('the generator', () => {
  test('agrees with NumPy step by step', () => {
    expect(
      stateWords(43)
        .map((word) => word.toString(16))
        .join(' '),
    ).toBe('ee1632d1 79dd5756 3109af6a f08732cb 33d61e51 896dbb06 75fcb01f 66dda4e1');
    const numbers = new Pcg64(43);
    expect([numbers.next64(), numbers.next64(), numbers.next64()]).toEqual([
      12032797558513133635n,
      807512191912379574n,
      369480662970811903n,
    ]);
    const below = new Pcg64(43);
    expect(Array.from({ length: 8 }, () => below.below(80))).toEqual([40, 52, 32, 3, 46, 1, 22, 67]);
    const distinct = new Pcg64(43);
    expect(distinct.distinct(80, 80).slice(0, 8)).toEqual([13, 19, 1, 74, 51, 28, 42, 37]);
    expect([distinct.distinct(80, 2), distinct.distinct(80, 2)]).toEqual([
      [13, 32],
      [79, 31],
    ]);
  });

  test('makes the published file, byte for byte, and others of other seeds', () => {
    expect(sha256(fileOf(43))).toBe('5c48e0813e812e3c373fa5c8ed07a8f0a483be30272b4427b0559c8048e67c13');
    const prompts = generatePrompts(coco, 43).map(({ prompt }) => `${prompt}\n`);
    expect(prompts).toHaveLength(553);
    expect(sha256(prompts.join(''))).toBe('55b6e3650e980c13daf30569eb666e000faf19bfc2b7b4cbe999fcdb7aa9d680');
    expect(sha256(fileOf(0))).toBe('bbc19624ad80f7dd0af99c86239b8821c4634ef959d2b8b4089dd5e972d3fd97');
    expect(sha256(fileOf(1))).toBe('1488be57c7167d841b330d2f45c3f9f27fe9d7a29cf70f5bf3fb9190fb46af07');
  });
});

describe('the rules', () => {
  test.each([
    [[0, 0, 100, 100], [200, 0, 300, 100], ['left of']],
    [[0, 0, 100, 100], [0, 200, 100, 300], ['above']],
    [
      [0, 0, 100, 100],
      [120, 120, 220, 220],
      ['left of', 'above'],
    ],
    [[0, 0, 100, 100], [40, 0, 140, 100], []],
    [[0, 0, 100, 100], [41, 0, 141, 100], ['left of']],
    [[0, 0, 200, 100], [150, 60, 350, 160], ['left of']],
    [[5, 5, 9, 9], [5, 5, 9, 9], []],
  ] as const)('%j is to %j: %j', (a, b, relations) => {
    expect(positionsOf(a, b, 0.1)).toEqual(relations);
    const turned = { 'left of': 'right of', 'right of': 'left of', above: 'below', below: 'above' } as const;
    expect(positionsOf(b, a, 0.1)).toEqual(relations.map((relation) => turned[relation]));
  });

  const objects = (name: string, ...scores: number[]): FoundObject[] =>
    scores.map((score, index) => ({ class: name, score, box: [index * 50, 0, index * 50 + 40, 40] }));
  const counting: GenevalItem = {
    tag: 'counting',
    include: [{ class: 'cup', count: 3 }],
    exclude: [{ class: 'cup', count: 4 }],
    prompt: 'a photo of three cups',
  };
  const passes = (item: GenevalItem, found: readonly FoundObject[], colors = {}, mode = 'official' as const): boolean =>
    judgePicture(item, { objects: found, colors }, mode, coco).pass;

  test('counting is exact, and above .9', () => {
    expect(passes(counting, objects('cup', 0.97, 0.95, 0.92, 0.6))).toBe(true);
    expect(passes(counting, objects('cup', 0.97, 0.95, 0.92, 0.91))).toBe(false);
    expect(passes(counting, objects('cup', 0.97, 0.95, 0.9))).toBe(false);
    const single: GenevalItem = {
      ...counting,
      tag: 'single_object',
      include: [{ class: 'cup', count: 1 }],
      exclude: [],
    };
    expect(passes(single, objects('cup', 0.31))).toBe(true);
    expect(passes(single, objects('cup', 0.3))).toBe(false);
    expect(passes(single, objects('dog', 0.99))).toBe(false);
  });

  test('a color is that of the surest object; of any in corrected mode', () => {
    const item: GenevalItem = {
      tag: 'colors',
      include: [{ class: 'cup', count: 1, color: 'red' }],
      prompt: 'a red cup',
    };
    const found = { objects: objects('cup', 0.9, 0.8), colors: { 0: ['blue', 'red'] } };
    expect(judgePicture(item, found, 'official', coco)).toMatchObject({
      pass: false,
      atoms: [
        { kind: 'object', score: 1 },
        { kind: 'color', score: 0 },
      ],
    });
    expect(judgePicture(item, found, 'corrected', coco).pass).toBe(true);
  });

  test('a position fails with the first object, and whenever one pair does not stand so', () => {
    const item: GenevalItem = {
      tag: 'position',
      include: [
        { class: 'dog', count: 1 },
        { class: 'cup', count: 1, position: ['left of', 0] },
      ],
      prompt: 'a cup left of a dog',
    };
    const cup: FoundObject = { class: 'cup', score: 0.9, box: [0, 0, 40, 40] };
    const dog: FoundObject = { class: 'dog', score: 0.9, box: [100, 0, 140, 40] };
    expect(passes(item, [cup, dog])).toBe(true);
    expect(passes(item, [cup])).toBe(false);
    expect(passes(item, [{ ...cup, box: [200, 0, 240, 40] }, dog])).toBe(false);
    // Another cup, less sure, on the right side: official rules look at the surest only.
    const wrong: FoundObject = { ...cup, score: 0.95, box: [200, 0, 240, 40] };
    expect(judgePicture(item, { objects: [wrong, cup, dog], colors: {} }, 'official', coco).pass).toBe(false);
    expect(judgePicture(item, { objects: [wrong, cup, dog], colors: {} }, 'corrected', coco).pass).toBe(true);
  });

  test('the overall score is the mean of the tags, whatever the number of their prompts', () => {
    const of = (task: string, right: number, total: number) =>
      Array.from({ length: total }, (_, index) => ({
        prompt: '',
        task,
        specification: null,
        index,
        copy: 0,
        verdict: { pass: index < right, why: '', score: Number(index < right) },
      }));
    const pictures = [
      of('a', 1, 1),
      of('b', 8, 10),
      of('c', 3, 5),
      of('d', 9, 10),
      of('e', 10, 20),
      of('f', 2, 5),
    ].flat();
    expect(overall(pictures).headline.value).toBeCloseTo(0.7, 12);
  });
});

/** 24 pictures: shapes by color, name and place, and whether GenEval's rules call the picture right. */
const at = (x: number, y: number, side = 24) => [x, y, side] as const;
const draw = (color: ShapeColor, shape: ShapeName, place = at(36, 36)): Shape => ({ color, shape, at: place });
const items: GenevalItem[] = [
  { tag: 'single_object', include: [{ class: 'circle', count: 1 }], prompt: 'a circle' },
  {
    tag: 'two_object',
    include: [
      { class: 'circle', count: 1 },
      { class: 'square', count: 1 },
    ],
    prompt: 'a circle and a square',
  },
  {
    tag: 'counting',
    include: [{ class: 'square', count: 3 }],
    exclude: [{ class: 'square', count: 4 }],
    prompt: 'three squares',
  },
  { tag: 'colors', include: [{ class: 'triangle', count: 1, color: 'red' }], prompt: 'a red triangle' },
  {
    tag: 'position',
    include: [
      { class: 'square', count: 1 },
      { class: 'circle', count: 1, position: ['left of', 0] },
    ],
    prompt: 'a circle left of a square',
  },
  {
    tag: 'color_attr',
    include: [
      { class: 'circle', count: 1, color: 'red' },
      { class: 'square', count: 1, color: 'blue' },
    ],
    prompt: 'a red circle and a blue square',
  },
];
const [l, r, t] = [at(4, 36), at(64, 36), at(36, 4)];
const squares = [at(4, 4), at(64, 4), at(4, 64), at(64, 64)].map((place) => draw('green', 'square', place));
const pictures: readonly (readonly [isRight: boolean, ...shapes: Shape[]])[][] = [
  [
    [true, draw('red', 'circle')],
    [true, draw('blue', 'circle', l), draw('red', 'square', r)],
    [false, draw('red', 'square')],
    [false],
  ],
  [
    [true, draw('red', 'circle', l), draw('red', 'square', r)],
    [false, draw('red', 'circle', l), draw('blue', 'circle', r)],
    [true, draw('red', 'circle', l), draw('green', 'square', r), draw('blue', 'triangle', t)],
    [false, draw('red', 'square')],
  ],
  [
    [true, ...squares.slice(1)],
    [false, ...squares.slice(2)],
    [false, ...squares],
    [true, ...squares.slice(1), draw('red', 'circle', at(36, 36, 20))],
  ],
  [
    [true, draw('red', 'triangle')],
    [false, draw('blue', 'triangle')],
    [false, draw('blue', 'triangle', at(4, 20, 48)), draw('red', 'triangle', at(64, 36, 16))],
    [false, draw('red', 'circle')],
  ],
  [
    [true, draw('red', 'circle', l), draw('blue', 'square', r)],
    [false, draw('red', 'circle', r), draw('blue', 'square', l)],
    [false, draw('red', 'circle', t), draw('blue', 'square', at(36, 64))],
    [true, draw('red', 'circle', at(4, 4, 40)), draw('blue', 'square', at(52, 52, 40))],
  ],
  [
    [true, draw('red', 'circle', l), draw('blue', 'square', r)],
    [false, draw('blue', 'circle', l), draw('red', 'square', r)],
    [true, draw('red', 'circle', l), draw('blue', 'square', r), draw('green', 'triangle', t)],
    [false, draw('blue', 'circle', l), draw('blue', 'square', r)],
  ],
];

describe('24 pictures drawn by hand', { timeout: 60_000 }, () => {
  const place = new Workplace();

  async function folder(name: string): Promise<string> {
    const path = place.path(name);
    for (const [index, copies] of pictures.entries())
      for (const [copy, [, ...shapes]] of copies.entries()) {
        const file = join(path, String(index).padStart(5, '0'), 'samples', `${String(copy).padStart(4, '0')}.png`);
        mkdirSync(dirname(file), { recursive: true });
        writeFileSync(join(dirname(file), '../metadata.jsonl'), lineOf(items[index] as GenevalItem));
        writeFileSync(file, await encodePng(drawShapes(shapes)));
      }
    return path;
  }

  function preset(name: string, more = '', judge = ''): string {
    place.write('prompts.jsonl', items.map((item) => `${lineOf(item)}\n`).join(''));
    place.write('ontology.json', JSON.stringify(shapeOntology));
    return place.write(
      `${name}.yaml`,
      `name: ${name}\nplugins: [${join(root, 'test/support/shapes.ts')}]\njudges: [{ use: shapes, cache: off${judge} }]\nbenchmarks: [{ use: geneval, prompts: prompts.jsonl, ontology: ontology.json${more} }]\n`,
    );
  }

  async function evaluate(
    presetFile: string,
    path: string,
    ...more: string[]
  ): Promise<Evaluation & { readonly verdicts: readonly VerdictRecord[] }> {
    const directory = place.free();
    const { code, errors } = await place.command(
      'evaluate',
      presetFile,
      '--pictures',
      path,
      '--run-dir',
      directory,
      ...more,
    );
    expect(code, errors).toBe(0);
    const [record] = (await readRunRecords(directory)).evaluations;
    return record as Evaluation & { readonly verdicts: readonly VerdictRecord[] };
  }

  test('are judged as known in advance, counted, and named by their judge', async () => {
    const path = await folder('pictures');
    const record = await evaluate(preset('known'), path);
    expect(record.verdicts.map(({ prompt, copy, pass }) => [prompt, copy, pass])).toEqual(
      pictures.flatMap((copies, index) => copies.map(([isRight], copy) => [items[index]?.prompt, copy, isRight])),
    );
    expect(record.headline?.value).toBeCloseTo((5 * 0.5 + 0.25) / 6, 12);
    expect(record.title).toBe('Prompts in the form of GenEval (Shapes)');
    expect(record.counts).toEqual({ prompts: 6, images: 24, missing: 0, unreadable: 0, judgeErrors: 0, unparsed: 0 });
    expect(record.comparable?.yes).toBe(false);
    expect(record.judges?.map(({ title, fingerprint }) => [title, fingerprint['model']])).toEqual([
      ['Shapes', 'shapes-1'],
      ['Shapes', 'shapes-1'],
    ]);
    const corrected = await evaluate(preset('corrected', ', mode: corrected'), path);
    expect(corrected.headline?.value).toBeCloseTo(0.5, 12);
  });

  test('missing and broken pictures count as wrong and are told; others are refused before anything is judged', async () => {
    const path = await folder('broken');
    const file = (index: number, copy: number): string => join(path, `0000${index}`, 'samples', `000${copy}.png`);
    rmSync(file(0, 3));
    const png = await encodePng(drawShapes([draw('red', 'circle')]));
    writeFileSync(file(1, 0), png.subarray(0, png.length - 40));
    const record = await evaluate(preset('broken-pictures'), path);
    expect(record.counts).toMatchObject({ images: 24, missing: 1, unreadable: 1 });
    expect(record.verdicts).toHaveLength(24);
    expect(record.overall).toEqual({ passes: 10, total: 24 });
    expect(record.headlineOfJudged).toBeGreaterThan(record.headline?.value ?? 1);
    expect(record.comparable?.because.join()).toContain('1 of 24 pictures missing');
    writeFileSync(file(2, 0), 'no picture');
    writeFileSync(file(3, 0), '');
    const refused = await place.command(
      'evaluate',
      preset('bad-pictures'),
      '--pictures',
      path,
      '--run-dir',
      place.free(),
    );
    expect(refused.code).toBe(2);
    expect(refused.errors).toContain('2 of 23 pictures cannot be judged: 00002/samples/0000.png: it is not a PNG');
    rmSync(path, { recursive: true });
    mkdirSync(path);
    const empty = await place.command('evaluate', preset('no-pictures'), '--pictures', path, '--run-dir', place.free());
    expect(empty.errors).toContain('he first of them would be 00000/samples/0000.png');
  });

  test('those without a verdict are asked about again by resume, and no others', async () => {
    const path = await folder('flaky');
    const directory = place.free();
    const diary = place.path('flaky.txt');
    const file = preset('flaky', '', `, fails: 0.6, retries: 0, diary: ${diary}`);
    const failed = async (...words: readonly string[]): Promise<number> => {
      const { code, errors } = await place.command(...words);
      expect(code, errors).toBe(0);
      const [record] = (await readRunRecords(directory)).evaluations;
      const count = record?.counts?.judgeErrors ?? Number.NaN;
      if (count > 0)
        expect(errors).toContain(
          `geneval: judges gave no verdict on ${count} pictures; npx reasongen resume ${directory} asks about these again`,
        );
      return count;
    };
    let missing = await failed('evaluate', file, '--pictures', path, '--run-dir', directory);
    expect(missing).toBeGreaterThan(0);
    while (missing > 0) {
      const before = missing;
      missing = await failed('resume', directory);
      expect(missing).toBeLessThan(before);
    }
    // An answer for each picture, those that are equal asked about once.
    const different = new Set(pictures.flat().map(([, ...shapes]) => JSON.stringify(shapes)));
    expect(readFileSync(diary, 'utf8').split('\n')).toHaveLength(different.size + 1);
    const again = await place.command('resume', directory);
    expect(again.errors).toContain('is done already');
  });
});
