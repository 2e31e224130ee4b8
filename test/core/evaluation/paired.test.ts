import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bootstrapPrompts } from '../../../core/evaluation/bootstrap.ts';
import { changeOf, mcnemar, pairDrawings, pairedDifference, type ScorePair } from '../../../core/evaluation/paired.ts';

/** `rose` pairs from 0 to 1, `fell` from 1 to 0, the rest alike; one drawing a prompt. */
function passFail(rose: number, fell: number, total: number): ScorePair[] {
  return Array.from({ length: total }, (_, prompt) => ({
    prompt,
    task: 'counting',
    before: Number(prompt >= rose && prompt < rose + fell),
    after: Number(prompt < rose),
  }));
}

describe('a paired difference', () => {
  test('of pass and fail: Bonett and Price, with the p-value of McNemar', () => {
    const result = pairedDifference(passFail(20, 5, 200));
    // (21 - 6) / 202 ± 1.96 sqrt((27/202 - (15/202)²) / 202)
    expect(result).toMatchObject({ difference: 0.075, pairs: 200, prompts: 200, rose: 20, fell: 5 });
    expect(result.low).toBeCloseTo(0.07426 - 0.04938, 4);
    expect(result.high).toBeCloseTo(0.07426 + 0.04938, 4);
    expect(result.mcnemar).toBeCloseTo(0.004077, 6);
    expect(changeOf(result)).toBe('rose');
    expect(changeOf(pairedDifference(passFail(5, 20, 200)))).toBe('fell');
  });

  test('is clear where separate intervals overlap: what is hard for one is hard for the other', () => {
    // .50 [.43, .57] and .575 [.51, .64] apart; all fifteen changes go one way.
    expect(changeOf(pairedDifference(passFail(15, 0, 200)))).toBe('rose');
  });

  test('is unclear where nothing or little differs', () => {
    for (const [rose, fell] of [
      [0, 0],
      [4, 0],
      [10, 9],
    ] as const)
      expect(changeOf(pairedDifference(passFail(rose, fell, 200))), `${rose}, ${fell}`).toBe('unclear');
    expect(pairedDifference([])).toMatchObject({ low: -1, high: 1, pairs: 0 });
    expect(changeOf(pairedDifference([]))).toBe('unclear');
  });

  test('several drawings of a prompt count as one: four times the pictures of the same prompts are no more prompts', () => {
    const pairs = passFail(30, 12, 100);
    const fourfold = pairs.flatMap((pair) => [pair, pair, pair, pair]);
    const [once, four] = [pairedDifference(pairs), pairedDifference(fourfold)];
    expect(four.mcnemar).toBeUndefined();
    expect(four.difference).toBe(once.difference);
    expect(four.high - four.low).toBeGreaterThan((once.high - once.low) * 0.85);
  });

  test.each<readonly [prompts: number, change: string]>([
    [1, 'unclear'],
    [2, 'unclear'],
    [5, 'unclear'],
    [6, 'rose'],
    [40, 'rose'],
  ])('%i prompts that all rise, four drawings each: %s', (count, change) => {
    const pairs = Array.from({ length: count * 4 }, (_, index) => ({
      prompt: index >> 2,
      task: String(index >> 2),
      before: 0,
      after: 1,
    }));
    const found = pairedDifference(pairs);
    expect(changeOf(found)).toBe(change);
    expect(found.high - found.low).toBeGreaterThan(0);
    const small = pairedDifference(pairs.map((pair) => ({ ...pair, after: 0.2 })));
    expect(small.high).toBeLessThanOrEqual(0.2 + 1e-12);
    expect(changeOf(small)).toBe(change);
  });

  test('one prompt of each of six tasks, of which one rises: that is no news', () => {
    const pairs = Array.from({ length: 24 }, (_, index) => ({
      prompt: index >> 2,
      task: String(index >> 2),
      before: 0,
      after: Number(index < 4),
    }));
    expect(changeOf(pairedDifference(pairs))).toBe('unclear');
  });

  test('graded scores are resampled, and the same numbers give the same interval', () => {
    const pairs = Array.from({ length: 60 }, (_, prompt) => ({
      prompt,
      task: prompt % 2 === 0 ? 'a' : 'b',
      before: (prompt % 7) / 7,
      after: Math.min(1, (prompt % 7) / 7 + (prompt % 3) / 10),
    }));
    const first = pairedDifference(pairs, 4);
    expect(first).toEqual(pairedDifference(pairs, 4));
    expect(first.low).not.toBe(pairedDifference(pairs, 5).low);
    expect(first.low).toBeLessThan(first.difference);
    expect(first.high).toBeGreaterThan(first.difference);
    expect(changeOf(first)).toBe('rose');
  });

  test('turned around it is the same with the other sign', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.boolean()), { minLength: 1, maxLength: 50 }), (list) => {
        const pairs = list.map(([before, after], prompt) => ({
          prompt,
          task: '',
          before: Number(before),
          after: Number(after),
        }));
        const [there, back] = [
          pairedDifference(pairs),
          pairedDifference(pairs.map((pair) => ({ ...pair, before: pair.after, after: pair.before }))),
        ];
        expect(back.low).toBeCloseTo(-there.high, 12);
        expect(back.mcnemar).toBe(there.mcnemar);
        expect(there.low).toBeLessThanOrEqual(there.difference);
        expect(there.high).toBeGreaterThanOrEqual(there.difference);
      }),
    );
  });
});

test('McNemar is exact', () => {
  expect(mcnemar(0, 0)).toBe(1);
  expect(mcnemar(4, 0)).toBeCloseTo(2 / 16, 12);
  expect(mcnemar(9, 1)).toBeCloseTo((2 * 11) / 1024, 12);
  expect(mcnemar(3000, 2900)).toBeGreaterThan(0.19);
  expect(mcnemar(3000, 2900)).toBeLessThan(0.2);
});

test('drawings are matched by prompt and number; what stands alone is left out', () => {
  const drawing = (index: number, copy: number, prompt: string, score: number) => ({
    index,
    copy,
    prompt,
    task: 't',
    score,
  });
  const before = [drawing(0, 0, 'a', 1), drawing(0, 1, 'a', 0), drawing(1, 0, 'b', 1), drawing(2, 0, 'c', 1)];
  const after = [drawing(0, 1, 'a', 1), drawing(0, 0, 'a', 0), drawing(1, 0, 'other', 1), drawing(3, 0, 'd', 1)];
  expect(pairDrawings(before, after)).toEqual([
    { prompt: 0, task: 't', before: 0, after: 1 },
    { prompt: 0, task: 't', before: 1, after: 0 },
  ]);
});

describe('resampled prompts', () => {
  const clusters = (values: readonly number[][], stratum = 'a') => values.map((items) => ({ stratum, items }));
  const meanOf = (drawn: readonly { readonly items: readonly number[] }[]) => {
    const items = drawn.flatMap((each) => each.items);
    return { mean: items.reduce((sum, one) => sum + one, 0) / items.length };
  };

  test('give the interval of a mean', () => {
    const values = Array.from({ length: 400 }, (_, index) => [index % 2]);
    const [low = 0, high = 0] = bootstrapPrompts(clusters(values), meanOf)['mean'] ?? [];
    expect(low).toBeCloseTo(0.45, 1);
    expect(high).toBeCloseTo(0.55, 1);
  });

  test('keep every stratum at its size: what differs between strata only is no noise', () => {
    const both = [...clusters([[1], [1], [1]], 'a'), ...clusters([[0], [0], [0]], 'b')];
    expect(bootstrapPrompts(both, meanOf)['mean']).toEqual([0.5, 0.5]);
  });

  test('draw from strata of one prompt as from one: each by itself would be certain', () => {
    const single = ['a', 'b', 'c', 'd', 'e', 'f'].flatMap((name, index) => clusters([[Number(index === 0)]], name));
    const [low = 0, high = 0] = bootstrapPrompts(single, meanOf)['mean'] ?? [];
    expect(low).toBe(0);
    expect(high).toBeGreaterThan(0.3);
  });
});
