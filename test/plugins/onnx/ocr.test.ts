/** Text in pictures: found, read, and compared with what a prompt wants to be readable. */
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import type { Component, Judge, Reward, Sample, TextLine } from '../../../core/plugin.ts';
import { at } from '../../../core/testing.ts';
import onnx from '../../../plugins/onnx/index.ts';
import { decodeSteps, inReadingOrder, ocrOptions, openOcr } from '../../../plugins/onnx/ocr.ts';
import { bare, quotedTexts, readableShare } from '../../../plugins/onnx/quoted.ts';
import { OnnxRuntime } from '../../../plugins/onnx/runtime.ts';
import { cornersOf, textRegions } from '../../../plugins/onnx/text-regions.ts';
import { never, ocrModel, pictureOf } from './models.ts';

const runtime = new OnnxRuntime({ threads: 1, warn: () => undefined });
afterAll(() => runtime.close());

describe('PP-OCR on pictures of text', () => {
  test.each([
    ['lines', ['Freshbread', 'OPEN', '24hours']],
    ['turned', ['Station7']],
    ['upright', ['PARKING']],
  ])('%s', async (name, texts) => {
    const judge = await openOcr(ocrOptions.parse({ model: ocrModel }), runtime);
    const lines = await judge.read(await pictureOf(`ocr/${name}.png`), never);
    expect(lines.map(({ text }) => text.replaceAll(' ', ''))).toEqual(texts);
    for (const { score, box } of lines) {
      expect(score).toBeGreaterThan(0.9);
      for (const edge of box) expect(edge).toBeGreaterThan(0);
      for (const edge of box) expect(edge).toBeLessThan(256);
    }
  });

  test('a picture without text says nothing', async () => {
    const judge = await openOcr(ocrOptions.parse({ model: ocrModel }), runtime);
    for (const picture of ['detector/a.png', 'clip/b.png'])
      expect(await judge.read(await pictureOf(picture), never)).toEqual([]);
  });
});

describe('regions of a map', () => {
  test.each([0, 12, -30, 44])('a bar turned by %i degrees', (degrees) => {
    const turn = (degrees * Math.PI) / 180;
    const [ax, ay] = [Math.cos(turn), Math.sin(turn)];
    const map = new Float32Array(128 * 96);
    for (let y = 0; y < 96; y++)
      for (let x = 0; x < 128; x++) {
        const [dx, dy] = [x + 0.5 - 60, y + 0.5 - 50];
        if (Math.abs(dx * ax + dy * ay) <= 30 && Math.abs(dy * ax - dx * ay) <= 6) map[y * 128 + x] = 0.9;
      }
    const [region, ...others] = textRegions(map, 128, 96);
    if (region === undefined) throw new Error('nothing was found');
    expect(others).toEqual([]);
    expect(Math.hypot(region.center[0] - 60, region.center[1] - 50)).toBeLessThan(1);
    expect(Math.abs(region.along[0] * ax + region.along[1] * ay)).toBeGreaterThan(0.998);
    // Widened by area · 1.5 / perimeter on each side: 720 · 1.5 / 144 = 7.5.
    expect(Math.abs(region.width - 75)).toBeLessThan(3);
    expect(Math.abs(region.height - 27)).toBeLessThan(3);
    const area = cornersOf(region).reduce((sum, [x, y], index, all) => {
      const [nextX, nextY] = at(all, (index + 1) % 4);
      return sum + (x * nextY - nextX * y) / 2;
    }, 0);
    expect(area).toBeCloseTo(region.width * region.height, 6);
  });

  test('specks, faint islands and nothing are no text', () => {
    const map = new Float32Array(64 * 64);
    expect(textRegions(map, 64, 64)).toEqual([]);
    map.fill(1, 200, 202);
    for (let y = 30; y < 40; y++) map.fill(0.4, y * 64 + 5, y * 64 + 40);
    expect(textRegions(map, 64, 64)).toEqual([]);
  });
});

test('steps to characters: what repeats is one, the first class separates, certainty is the mean of what is kept', () => {
  const steps = [0, 1, 1, 0, 1, 2, 2, 0, 3].map((best) => [0, 1, 2, 3].map((index) => (index === best ? 0.7 : 0.1)));
  expect(decodeSteps(Float32Array.from(steps.flat()), steps.length, ['', 'a', 'b', ' '])).toEqual({
    text: 'aab ',
    score: expect.closeTo(0.7, 6),
  });
  expect(decodeSteps(new Float32Array(), 0, ['', 'a'])).toEqual({ text: '', score: 0 });
});

test('lines are read from top to bottom, those side by side from left to right', () => {
  const line = (text: string, box: TextLine['box']): TextLine => ({ text, score: 1, box });
  const lines = [
    line('d', [0, 60, 50, 80]),
    line('b', [40, 4, 80, 24]),
    line('a', [0, 0, 30, 20]),
    line('c', [10, 30, 90, 50]),
  ];
  expect(inReadingOrder(lines).map(({ text }) => text)).toEqual(['a', 'b', 'c', 'd']);
});

describe('what a prompt wants to be readable', () => {
  test.each<[string, string[]]>([
    ['a sign that says "OPEN"', ['OPEN']],
    ['“Hello” and “bye now”', ['Hello', 'bye now']],
    ["a dog's toy and a cat's toy", []],
    ["the dogs' toys and the cats' toys", []],
    ["a shirt with the words 'don't panic' on it", ["don't panic"]],
    ['„Brot“ und «pain»', ['Brot', 'pain']],
    ['看板「営業中」', ['営業中']],
    ['an empty "" and a blank " " quotation', []],
    ['a picture of $& and \\boxed{1}', []],
    ['the number "\\boxed{1}" on a wall', ['\\boxed{1}']],
    ['a 6" ruler', []],
  ])('%s', (prompt, texts) => {
    expect(quotedTexts(prompt)).toEqual(texts);
  });

  test.each<[string, string, number]>([
    ['OPEN', 'open', 1],
    ['Fresh bread', 'Freshbread OPEN 24 hours', 1],
    ['OPEN', '0PEN', 0.75],
    ['OPEN', 'OPN', 0.75],
    ['OPEN', 'OPPEN', 0.75],
    ['OPEN', '', 0],
    ['OPEN', 'shut', 0],
    ['ＡＢ', 'ab', 1],
    ['bakery', 'welcome to the bakry on main street', 5 / 6],
  ])('"%s" in "%s"', (wanted, read, share) => {
    expect(readableShare(wanted, read)).toBeCloseTo(share, 12);
  });

  test('equals the best of all pieces of what was read', () => {
    const letters = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 7 }).map((each) => each.join(''));
    fc.assert(
      fc.property(
        letters.filter((text) => text !== ''),
        letters,
        (wanted, read) => {
          let least = wanted.length;
          for (let begin = 0; begin <= read.length; begin++)
            for (let end = begin; end <= read.length; end++)
              least = Math.min(least, edits(wanted, read.slice(begin, end)));
          expect(readableShare(wanted, read)).toBeCloseTo(Math.max(0, 1 - least / wanted.length), 12);
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe('rewards', () => {
  const rewardOf = async (name: string, judge: Judge, options: object = {}): Promise<Reward> => {
    const component = onnx.provides.find((each) => each.slot === 'reward' && each.name === name) as Component<'reward'>;
    return component.create(component.options.parse(options), { getAll: async () => [judge] } as never);
  };
  const sample = (prompt: string): Sample =>
    ({ prompt, image: { width: 1, height: 1, data: new Uint8Array(3) } }) as Sample;

  test('ocr: the mean share of the quoted texts; a prompt without one is not judged, and nobody is asked', async () => {
    let asked = 0;
    const line = (text: string): TextLine => ({ text, score: 1, box: [0, 0, 1, 1] });
    const read = async (): Promise<TextLine[]> => (asked++, [line('OPEN'), line('24 hors')]);
    const reward = await rewardOf('ocr', { title: 'reader', fingerprint: { model: 'x' }, name: 'r', read });
    expect(await reward.score([sample('"open" and "24 hours"'), sample('a cat')], never)).toEqual([
      { value: expect.closeTo((1 + 6 / 7) / 2, 12), why: 'reader reads: OPEN 24 hors', parts: { exact: 0.5 } },
      null,
    ]);
    expect(asked).toBe(1);
  });

  test('clip-score: 2.5 times the cosine, at least 0', async () => {
    const cosines = new Map([
      ['a cat', 0.3],
      ['a dog', -0.1],
    ]);
    const judge: Judge = {
      ...{ title: 'CLIP', fingerprint: { model: 'x' }, name: 'c' },
      similarity: async (_, texts) => texts.map((text) => cosines.get(text) ?? 0),
    };
    const score = (await rewardOf('clip-score', judge)).score([sample('a cat'), sample('a dog')], never);
    expect(await score).toEqual([
      { value: 0.75, why: 'CLIP: cosine 0.300', parts: { cosine: 0.3 } },
      { value: 0, why: 'CLIP: cosine -0.100', parts: { cosine: -0.1 } },
    ]);
    await expect(rewardOf('ocr', judge)).rejects.toMatchObject({ code: 'MISSING_JUDGE' });
  });
});

/** Levenshtein's distance, as it is defined. */
function edits(a: string, b: string): number {
  if (a === '' || b === '') return a.length + b.length;
  if (bare(a[0] ?? '') === bare(b[0] ?? '')) return edits(a.slice(1), b.slice(1));
  return 1 + Math.min(edits(a.slice(1), b), edits(a, b.slice(1)), edits(a.slice(1), b.slice(1)));
}
