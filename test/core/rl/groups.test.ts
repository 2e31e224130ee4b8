import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hasVariance } from '../../../core/rl/advantages.ts';
import { GroupCollector } from '../../../core/rl/groups.ts';

const collector = (wanted: number, rounds: number): GroupCollector<readonly number[]> =>
  new GroupCollector({ wanted, rounds, hasSignal: hasVariance });

describe('collecting groups', () => {
  test('groups without variance are dropped and replaced until enough have come', () => {
    const groups = collector(2, 3);
    groups.offer([
      [1, 1],
      [0, 1],
    ]);
    expect([groups.needsMore, groups.kept]).toEqual([true, [[0, 1]]]);
    groups.offer([
      [1, 0],
      [0.5, 1],
    ]);
    expect([groups.needsMore, groups.kept, groups.rounds]).toEqual([
      false,
      [
        [0, 1],
        [1, 0],
      ],
      2,
    ]);
    expect(groups.all).toHaveLength(4);
    expect(groups.warning).toBeUndefined();
  });

  test('a spent budget leaves a smaller batch and a warning', () => {
    const groups = collector(3, 1);
    groups.offer([
      [1, 1],
      [0, 1],
      [0, 0],
    ]);
    expect([groups.needsMore, groups.kept]).toEqual([false, [[0, 1]]]);
    expect(groups.warning).toBe(
      '1 of 3 groups drawn in 1 round has variance in its rewards, 3 were wanted; the batch shrinks',
    );
    expect(() => groups.offer([[0, 1]])).toThrow(/every round/);
  });

  test('no signal at all is no update, not an end', () => {
    const groups = collector(2, 2);
    groups.offer([[1, 1]]);
    groups.offer([[0, 0]]);
    expect(groups.kept).toEqual([]);
    expect(groups.warning).toMatch(/none of 2 groups drawn in 2 rounds .* no update/);
  });

  test('whatever comes: the kept ones have variance, keep their order, and are as many as can be', () => {
    const group = fc.array(fc.constantFrom(0, 0.5, 1), { minLength: 2, maxLength: 4 });
    fc.assert(
      fc.property(
        fc.array(fc.array(group, { maxLength: 5 }), { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 1, max: 6 }),
        (rounds, wanted) => {
          const groups = collector(wanted, rounds.length);
          for (const round of rounds) if (groups.rounds === 0 || groups.needsMore) groups.offer(round);
          const informative = groups.all.filter(hasVariance);
          expect(groups.kept).toEqual(informative.slice(0, wanted));
          expect(groups.needsMore).toBe(false);
          expect(groups.warning === undefined).toBe(groups.kept.length === wanted);
        },
      ),
    );
  });

  test('what a refill brought beyond the need fills the gaps of the next step, once', () => {
    const first = collector(2, 2);
    first.offer([
      [1, 1],
      [0, 1],
    ]);
    first.offer([
      [1, 0],
      [0, 2],
    ]);
    expect(first.surplus).toEqual([[0, 2]]);
    const second = new GroupCollector({ wanted: 2, rounds: 2, hasSignal: hasVariance, carried: first.surplus });
    expect(second.needsMore).toBe(true);
    second.offer([
      [3, 3],
      [0, 3],
    ]);
    // The carried group saves a second round; it stands behind the fresh one.
    expect([second.needsMore, second.kept, second.carriedCount, second.surplus]).toEqual([
      false,
      [
        [0, 3],
        [0, 2],
      ],
      1,
      [],
    ]);
    const third = new GroupCollector({ wanted: 1, rounds: 1, hasSignal: hasVariance, carried: first.surplus });
    third.offer([
      [0, 4],
      [0, 5],
    ]);
    expect([third.kept, third.carriedCount, third.surplus]).toEqual([[[0, 4]], 0, [[0, 5]]]);
    const short = new GroupCollector({ wanted: 3, rounds: 1, hasSignal: hasVariance, carried: first.surplus });
    short.offer([[1, 1]]);
    expect(short.warning).toMatch(/^1 \(1 of an earlier step\) of 1 groups drawn/);
  });

  test('a budget of nothing is refused', () => {
    expect(() => collector(0, 1)).toThrow(RangeError);
    expect(() => collector(1, 0)).toThrow(RangeError);
  });
});
