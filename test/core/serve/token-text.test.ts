import { describe, expect, test } from 'vitest';
import { logProbabilityOf } from '../../../core/serve/log-probabilities.ts';
import { ShownText, TokenText } from '../../../core/serve/token-text.ts';
import { philox } from '../../../core/tensor/philox.ts';

/** Ids are bytes. */
const bytes = { decode: (ids: readonly number[]): string => new TextDecoder().decode(Uint8Array.from(ids)) };
const texts = ['plain words', 'größer als 3 €', 'ﬂags 🇩🇪 and 👩‍🚀', '', 'かな漢字', 'a\n\nb  c'];

describe('tokens to text', () => {
  test.each(texts)('%j: the pieces are the whole, and no character is shown in halves', (text) => {
    const shown = new TokenText(bytes);
    const pieces = [...Buffer.from(text)].map((byte) => shown.add(byte));
    expect(pieces.join('') + shown.end()).toBe(text);
    expect(pieces.join('')).not.toContain('\uFFFD');
  });

  test('what is no character at the end is shown as such when no more comes', () => {
    const shown = new TokenText(bytes);
    expect([0x61, 0xe2, 0x82].map((byte) => shown.add(byte)).join('') + shown.end()).toBe('a\uFFFD');
  });
});

describe('text that is shown', () => {
  /** Pieces of a text by a seed. */
  function cut(text: string, seed: number): string[] {
    const pieces: string[] = [];
    for (let from = 0, step = 0; from < text.length; step++) {
      const length = 1 + (philox([step, 0, 0, 0], [seed, 0])[0] % 4);
      pieces.push(text.slice(from, from + length));
      from += length;
    }
    return pieces;
  }

  const long = '  One, two; three STOPPED four.\nfive STOP six \n ';

  test.each<[string, readonly string[], string]>([
    ['without stops', [], long.trim()],
    ['with one', ['STOP'], 'One, two; three'],
    ['with one that another begins with', ['STOPPER', 'STOP s'], 'One, two; three STOPPED four.\nfive'],
    ['with the first of several', ['six', 'five', 'two;'], 'One,'],
    ['with one of blanks', ['\n'], 'One, two; three STOPPED four.'],
    ['with one at the very beginning', ['  One'], ''],
  ])('%s is the same however it comes, and is never taken back', (_, stops, expected) => {
    for (let seed = 0; seed < 40; seed++) {
      const shown = new ShownText(stops);
      let all = '';
      for (const piece of cut(long, seed)) {
        all += shown.add(piece);
        expect(expected.startsWith(all)).toBe(true);
      }
      expect(all + shown.end()).toBe(expected);
      expect(shown.stopped).toBe(stops.length > 0);
    }
  });
});

test('log-probabilities are of the softmax, the likeliest first, the first of equals first', () => {
  const logits = Float32Array.of(1, 3, -2, 3, 0.5, -Infinity);
  const told = logProbabilityOf(2, logits, 3, { decode: ([id = 0]) => String.fromCharCode(97 + id) });
  const total = [...logits].reduce((sum, value) => sum + Math.exp(value), 0);
  expect(told.logprob).toBeCloseTo(-2 - Math.log(total), 12);
  expect(told.top_logprobs.map(({ token }) => token)).toEqual(['b', 'd', 'a']);
  expect(told.top_logprobs[0]?.logprob).toBeCloseTo(3 - Math.log(total), 12);
  expect(told.bytes).toEqual([99]);
  expect(logProbabilityOf(5, logits, 0, bytes)).toMatchObject({ logprob: -9999, top_logprobs: [] });
  expect(logProbabilityOf(0, logits, 0, { decode: () => '\uFFFD' }).bytes).toBeNull();
});
