import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { groupAdvantages } from '../../core/rl/advantages.ts';

const grpo = { estimator: 'grpo', normalise: true } as const;

describe('advantages within groups', () => {
  test('GRPO: distance from the mean in unbiased standard deviations', () => {
    // Mean 1/2, deviation sqrt(4 · 0.25 / 3) = 0.57735.
    const expected = 0.5 / (Math.sqrt(1 / 3) + 1e-6);
    expect(groupAdvantages([1, 0, 0, 1], 4, grpo)).toEqual([expected, -expected, -expected, expected]);
  });

  test('groups do not see each other', () => {
    const first = groupAdvantages([1, 0, 3], 3, grpo);
    expect(groupAdvantages([1, 0, 3, 100, 200, 150], 3, grpo).slice(0, 3)).toEqual(first);
  });

  test('without normalisation it is the distance from the mean', () => {
    expect(groupAdvantages([1, 0, 0, 0], 4, { estimator: 'grpo', normalise: false })).toEqual([0.75, -0.25, -0.25, -0.25]);
  });

  test('leave one out: the reward minus the mean of the others', () => {
    const rewards = [1, 4, 2, 9];
    const expected = rewards.map((reward, index) => reward - (rewards.reduce((sum, value) => sum + value, 0) - (rewards[index] ?? 0)) / 3);
    groupAdvantages(rewards, 4, { estimator: 'rloo', normalise: true }).forEach((value, index) => expect(value).toBeCloseTo(expected[index] ?? NaN, 12));
  });

  test('no variance, or nobody to compare with, is no advantage', () => {
    expect(groupAdvantages([0.1, 0.1, 0.1], 3, grpo)).toEqual([0, 0, 0]);
    expect(groupAdvantages([5, 7], 1, grpo)).toEqual([0, 0]);
  });

  test('whatever the rewards: they sum to 0, keep the order of the rewards, and ignore a shift', () => {
    const rewards = fc.array(fc.integer({ min: -8, max: 8 }).map((value) => value / 4), { minLength: 2, maxLength: 9 });
    fc.assert(
      fc.property(rewards, fc.constantFrom(grpo, { estimator: 'grpo', normalise: false } as const, { estimator: 'rloo', normalise: false } as const), (values, options) => {
        const advantages = groupAdvantages(values, values.length, options);
        expect(advantages.reduce((sum, value) => sum + value, 0)).toBeCloseTo(0, 9);
        values.forEach((a, i) => values.forEach((b, j) => {
          if (a > b) expect(advantages[i]).toBeGreaterThan(advantages[j] ?? NaN);
        }));
        groupAdvantages(values.map((value) => value + 2), values.length, options).forEach((value, index) => expect(value).toBeCloseTo(advantages[index] ?? NaN, 9));
      }),
    );
  });

  test('what is no set of groups is refused', () => {
    expect(() => groupAdvantages([1, 2, 3], 2, grpo)).toThrow(/not groups of 2/);
    expect(() => groupAdvantages([1, NaN], 2, grpo)).toThrow(/not a finite number/);
  });
});
