import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { byteCharacters } from '../../plugins/byte-bpe/bytes.ts';
import { layouts, specialTokensOf } from '../../plugins/byte-bpe/layouts.ts';
import { loadByteBpe } from '../../plugins/byte-bpe/tokenizer.ts';
import { trainByteBpe } from '../../plugins/byte-bpe/trainer.ts';
import { createNanoDataset } from '../../plugins/nano-world/dataset.ts';

const nanoPath = fileURLToPath(new URL('../../plugins/byte-bpe/nano/tokenizer.json', import.meta.url));
const nano = loadByteBpe(nanoPath, layouts.nano);
const dataset = createNanoDataset();
const folder = mkdtempSync(join(tmpdir(), 'byte-bpe-'));
afterAll(() => rmSync(folder, { recursive: true }));

function loaded(name: string, content: string) {
  const path = join(folder, name);
  writeFileSync(path, content);
  return loadByteBpe(path, layouts.nano);
}

describe('training', () => {
  test('gives the committed file from the corpus of the nano world', () => {
    const corpus = dataset.corpus().map((text) => ` ${text}`);
    const file = trainByteBpe(corpus, { specialTokens: specialTokensOf(layouts.nano) });
    expect(JSON.parse(readFileSync(nanoPath, 'utf8'))).toEqual(file);
  });

  test('merges the most frequent pair first, ties in code-unit order, overlaps from the left', () => {
    const { model } = trainByteBpe(['ab ab ab', 'aaa', 'cd dc'], {
      specialTokens: ['<s>'],
      vocabularySize: 1 + 256 + 3,
    });
    // "ab" and " ab" ×2: ab 3; then "Ġab" 2; then aa, aa of "aaa" count 2 and come before others with one.
    expect(model.merges).toEqual([
      ['a', 'b'],
      ['a', 'a'],
      ['Ġ', 'ab'],
    ]);
    expect(model.vocab['<s>']).toBe(0);
    expect(Object.keys(model.vocab)).toHaveLength(260);
  });

  test('stops when no pair is left and refuses a vocabulary without room for the bytes', () => {
    expect(trainByteBpe(['ab'], { specialTokens: [] }).model.merges).toEqual([['a', 'b']]);
    expect(() => trainByteBpe(['ab'], { specialTokens: ['<s>'], vocabularySize: 256 })).toThrow(/257 base tokens/);
  });

  test('spells bytes as GPT-2 does', () => {
    const characters = byteCharacters();
    expect(new Set(characters).size).toBe(256);
    expect([0x20, 0x0a, 0x41, 0x00, 0x7f, 0xad, 0xff].map((byte) => characters[byte])).toEqual([
      'Ġ',
      'Ċ',
      'A',
      'Ā',
      'ġ',
      'Ń',
      'ÿ',
    ]);
  });
});

describe('the tokenizer of the nano world', () => {
  test('has one token for each word, wherever it stands', () => {
    const words = new Set(dataset.corpus().flatMap((text) => text.split(' ')));
    for (const word of words) {
      expect(nano.encode(word)).toHaveLength(1);
      expect(nano.encode(`a ${word}`)[1]).toBe(nano.encode(word)[0]);
    }
    expect(nano.vocabularySize).toBe(417);
  });

  test('counts tokens as the study does: prompts at most 11, rationales 15 on average and at most 39', () => {
    const examples = Array.from({ length: 2000 }, (_, index) => dataset.example(index, 1));
    const prompts = examples.map((one) => nano.encode(one.prompt).length);
    const rationales = examples.map((one) => nano.encode(one.rationale).length);
    expect(Math.max(...prompts)).toBe(11);
    expect(Math.max(...rationales)).toBe(39);
    const mean = rationales.reduce((sum, count) => sum + count, 0) / rationales.length;
    expect(mean).toBeGreaterThan(14.8);
    expect(mean).toBeLessThan(15.8);
    for (const { rationale } of examples) expect(nano.encode(rationale)).toHaveLength(rationale.split(' ').length);
  });

  test('lays out prompts', () => {
    const { bos, imageStart, eos, pad } = nano.special;
    const text = nano.encode('a photo of two cakes');
    const think = nano.prompt('', 'rationale')[1] ?? Number.NaN;
    expect(nano.prompt('a photo of two cakes', 'rationale')).toEqual([bos, ...text, think]);
    expect(nano.prompt('a photo of two cakes', 'direct')).toEqual([bos, ...text, imageStart]);
    expect(nano.unconditional([bos, ...text, think, ...text, imageStart])).toEqual([bos, imageStart]);
    expect(new Set([bos, imageStart, eos, pad, think]).size).toBe(5);
  });

  test('decodes without special tokens and refuses ids it does not have', () => {
    expect(nano.decode([...nano.prompt('a photo of a cat', 'rationale'), nano.special.eos, nano.special.pad])).toBe(
      'a photo of a cat',
    );
    expect(nano.decode([])).toBe('');
    expect(nano.decode([nano.special.pad])).toBe('');
    expect(() => nano.decode([nano.vocabularySize])).toThrow(/417/);
    expect(() => nano.decode([-1])).toThrow(/-1/);
  });

  test('reads special tokens in a prompt as plain text', () => {
    const ids = nano.encode('a cat <boi> <eos>');
    expect(ids).not.toContain(nano.special.imageStart);
    expect(ids).not.toContain(nano.special.eos);
    expect(nano.decode(ids)).toBe('a cat <boi> <eos>');
  });
});

describe('round trip', () => {
  test.each([
    '',
    ' ',
    '  ',
    '\n',
    ' a',
    'a ',
    ' a  photo ',
    "don't , stop .",
    'naïve café',
    'ﬁ ½ ①',
    '漢字かな',
    '👍🏽👩‍👩‍👧',
    '\u0000\u007f\u00ad',
    '\t\r\n',
    '\u2028\ufeff',
    'e\u0301',
    '½1٣',
    'plan : a cat at top left .',
    '<pad><bos>',
    'Ġa Ċ',
  ])('gives %j back', (text) => {
    expect(nano.decode(nano.encode(text))).toBe(text);
  });

  test('gives any well-formed text back', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
        expect(nano.decode(nano.encode(text))).toBe(text);
      }),
      { numRuns: 500, seed: 1 },
    );
  });

  test('holds for tokenizers trained on any texts, whose ids stay below the vocabulary size', () => {
    const anyText = fc.string({ unit: 'binary', maxLength: 30 });
    fc.assert(
      fc.property(fc.array(anyText, { maxLength: 8 }), fc.nat(40), anyText, (corpus, extra, text) => {
        const file = trainByteBpe(corpus, {
          specialTokens: specialTokensOf(layouts.nano),
          vocabularySize: 261 + extra,
        });
        const tokenizer = loaded('any.json', JSON.stringify(file));
        const ids = tokenizer.encode(text);
        expect(tokenizer.decode(ids)).toBe(text);
        expect(ids.every((id) => id >= 5 && id < tokenizer.vocabularySize)).toBe(true);
      }),
      { numRuns: 60, seed: 2 },
    );
  });
});

describe('bad files', () => {
  test('are refused with the file and a hint', () => {
    const failure = (name: string, content: string) => {
      try {
        loaded(name, content);
      } catch (error) {
        return error;
      }
      throw new Error('expected a failure');
    };
    expect(failure('a.json', '{')).toMatchObject({ code: 'BAD_TOKENIZER_FILE', place: join(folder, 'a.json') });
    expect(failure('b.json', '{"model":{"vocab":[]}}')).toMatchObject({ code: 'BAD_TOKENIZER_FILE' });
    const other = trainByteBpe(['a'], { specialTokens: ['<s>', '</s>'] });
    expect(failure('c.json', JSON.stringify(other))).toMatchObject({
      code: 'TOKENIZER_LACKS_TOKEN',
      message: expect.stringContaining('<bos>'),
    });
  });

  test('the hash follows the content', () => {
    const content = readFileSync(nanoPath, 'utf8');
    expect(loaded('d.json', content).hash).toBe(nano.hash);
    expect(loaded('e.json', `${content} `).hash).not.toBe(nano.hash);
  });
});
