import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { downSample, mostTelling } from '../../../core/rl/down-sampling.ts';

function variance(values: readonly number[]): number {
  const middle = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / values.length;
}

/** Every way to choose `count` of these. */
function subsets(indices: readonly number[], count: number): number[][] {
  if (count === 0) return [[]];
  return indices.flatMap((first, at) => subsets(indices.slice(at + 1), count - 1).map((rest) => [first, ...rest]));
}

describe('of a group, the drawings that are trained on', () => {
  test.each<[string, (number | undefined)[], number, number[]]>([
    ['as many right as wrong ones where there are enough', [0, 1, 0, 0, 1, 0, 1, 0], 4, [0, 2, 4, 6]],
    ['the only right one with wrong ones', [0, 0, 0, 1, 0, 0], 4, [0, 1, 3, 5]],
    ['the only wrong one with right ones', [1, 1, 1, 1, 1, 0], 4, [0, 3, 4, 5]],
    ['the extremes', [0.5, 0.1, 0.6, 0.9, 0.4], 2, [1, 3]],
    ['without those that were not judged', [undefined, 0, undefined, 1, 1], 2, [1, 4]],
    ['all where there are no more', [1, undefined, 0], 2, [0, 2]],
    ['from both ends where all are alike', [1, 1, 1, 1], 2, [0, 3]],
  ])('are %s', (_name, rewards, count, expected) => {
    expect(mostTelling(rewards, count)).toEqual(expected);
  });

  test('have the largest variance of all there are', () => {
    const rewards = fc.array(fc.constantFrom(0, 0.25, 0.3, 0.5, 1, -2, 1.3), { minLength: 3, maxLength: 9 });
    fc.assert(
      fc.property(rewards, fc.integer({ min: 2, max: 6 }), (values, count) => {
        fc.pre(count <= values.length);
        const chosen = mostTelling(values, count);
        expect(new Set(chosen).size).toBe(count);
        const of = (indices: readonly number[]): number =>
          variance(indices.map((index) => values[index] ?? Number.NaN));
        const largest = Math.max(...subsets([...values.keys()], count).map(of));
        expect(of(chosen)).toBeCloseTo(largest, 9);
      }),
    );
  });

  test('are chosen group by group', () => {
    expect(downSample([0, 1, 1, 0, 0, 1], 3, 2)).toEqual([true, false, true, true, false, true]);
  });
});
