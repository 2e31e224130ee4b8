import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decoupledAdvantages,
  estimators,
  groupAdvantages,
  ownScale,
  scales,
  type AdvantageOptions,
} from '../../../core/rl/advantages.ts';

const grpo = { estimator: 'grpo' } as const;

/** As the papers write them, one sample at a time. */
function reference(
  rewards: readonly number[],
  size: number,
  { estimator, scale = ownScale[estimator] }: AdvantageOptions,
  baselines: readonly number[],
): number[] {
  const groupOf = (index: number): number[] =>
    rewards.slice(Math.floor(index / size) * size, (Math.floor(index / size) + 1) * size);
  const average = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const baseline = (index: number): number => {
    const group = groupOf(index);
    if (estimator === 'grpo') return average(group);
    if (estimator === 'rloo') return average(group.filter((_, other) => other !== index % size));
    if (estimator === 'reinforce++') return average(rewards);
    return estimator === 'remax' ? (baselines[Math.floor(index / size)] ?? NaN) : 0;
  };
  const centered = rewards.map((reward, index) => reward - baseline(index));
  const spread = (values: readonly number[]): number =>
    Math.sqrt(values.reduce((sum, value) => sum + (value - average(values)) ** 2, 0) / (values.length - 1)) + 1e-6;
  return centered.map((value, index) => {
    if (scale === 'none') return value;
    const start = Math.floor(index / size) * size;
    return value / spread(scale === 'batch' ? centered : centered.slice(start, start + size));
  });
}

describe('known values', () => {
  test('GRPO: distance from the mean in unbiased standard deviations', () => {
    // Mean 1/2, deviation sqrt(4 · 0.25 / 3) = 0.57735.
    const expected = 0.5 / (Math.sqrt(1 / 3) + 1e-6);
    expect(groupAdvantages([1, 0, 0, 1], 4, grpo)).toEqual([expected, -expected, -expected, expected]);
  });

  test('Dr. GRPO: the distance from the mean alone', () => {
    expect(groupAdvantages([1, 0, 0, 0], 4, { estimator: 'grpo', scale: 'none' })).toEqual([0.75, -0.25, -0.25, -0.25]);
  });

  test('a scale over the batch keeps what groups differ in', () => {
    const [hard, easy] = [
      [1, 0, 0, 0],
      [0.1, 0, 0, 0],
    ];
    const byBatch = groupAdvantages([...hard, ...easy], 4, { estimator: 'grpo', scale: 'batch' });
    expect((byBatch[0] ?? 0) / (byBatch[4] ?? 0)).toBeCloseTo(10, 6);
    const byGroup = groupAdvantages([...hard, ...easy], 4, grpo);
    expect((byGroup[0] ?? 0) / (byGroup[4] ?? 0)).toBeCloseTo(1, 4);
  });

  test('REINFORCE++: a group that always succeeds is better than the batch', () => {
    expect(groupAdvantages([1, 1, 0, 0], 2, { estimator: 'reinforce++' }).map(Math.sign)).toEqual([1, 1, -1, -1]);
  });

  test('ReMax: better or worse than the greedy answer', () => {
    expect(groupAdvantages([1, 0, 1, 0], 2, { estimator: 'remax' }, { baselines: [0, 1] })).toEqual([1, 0, 0, -1]);
    expect(() => groupAdvantages([1, 0], 2, { estimator: 'remax' })).toThrow(/greedy answer/);
  });

  test('ReMax: a greedy answer that was not judged is no answer of reward 0', () => {
    const baselines = [undefined, 0.5];
    expect(groupAdvantages([1, 0.5, 1, 0], 2, { estimator: 'remax' }, { baselines })).toEqual([0, 0, 0.5, -0.5]);
    const deviation = Math.sqrt(0.5);
    const [, , best] = groupAdvantages([9, 7, 1, 0], 2, { estimator: 'remax', scale: 'batch' }, { baselines });
    expect(best).toBeCloseTo(0.5 / deviation, 5);
  });

  test('pairs that a judge has ranked pass through', () => {
    expect(groupAdvantages([1, -1, -1, 1], 2, { estimator: 'passthrough' })).toEqual([1, -1, -1, 1]);
  });
});

test('groups do not see each other', () => {
  const first = groupAdvantages([1, 0, 3], 3, grpo);
  expect(groupAdvantages([1, 0, 3, 100, 200, 150], 3, grpo).slice(0, 3)).toEqual(first);
});

test('no variance, or nobody to compare with, is no advantage', () => {
  for (const estimator of ['grpo', 'rloo'] as const) {
    expect(groupAdvantages([0.1, 0.1, 0.1], 3, { estimator })).toEqual([0, 0, 0]);
    expect(groupAdvantages([5, 7], 1, { estimator })).toEqual([0, 0]);
  }
  expect(groupAdvantages([0.1, 0.1, 0.1, 0.1], 2, { estimator: 'reinforce++' })).toEqual([0, 0, 0, 0]);
});

const values = fc.integer({ min: -8, max: 8 }).map((value) => value / 4);
const batches = fc.integer({ min: 2, max: 6 }).chain((size) =>
  fc.record({
    size: fc.constant(size),
    groups: fc.array(fc.array(values, { minLength: size, maxLength: size }), { minLength: 1, maxLength: 4 }),
  }),
);

test.each(estimators.flatMap((estimator) => scales.map((scale) => ({ estimator, scale }))))(
  '$estimator over $scale is what its paper says',
  (options) => {
    fc.assert(
      fc.property(batches, ({ size, groups }) => {
        // What has no variance is given zeros instead of rounding errors; the papers divide those by epsilon.
        fc.pre(groups.every((group) => group.some((value) => value !== group[0])));
        const baselines = groups.map((group) => (group[0] ?? 0) / 2);
        const expected = reference(groups.flat(), size, options, baselines);
        groupAdvantages(groups.flat(), size, options, { baselines }).forEach((value, index) =>
          expect(value).toBeCloseTo(expected[index] ?? NaN, 9),
        );
      }),
    );
  },
);

test('whatever the rewards: within a group they sum to 0, keep the order of the rewards, and ignore a shift', () => {
  fc.assert(
    fc.property(
      fc.array(values, { minLength: 2, maxLength: 9 }),
      fc.constantFrom<AdvantageOptions>(grpo, { estimator: 'grpo', scale: 'none' }, { estimator: 'rloo' }),
      (rewards, options) => {
        const advantages = groupAdvantages(rewards, rewards.length, options);
        expect(advantages.reduce((sum, value) => sum + value, 0)).toBeCloseTo(0, 9);
        rewards.forEach((a, i) =>
          rewards.forEach((b, j) => {
            if (a > b) expect(advantages[i]).toBeGreaterThan(advantages[j] ?? NaN);
          }),
        );
        groupAdvantages(
          rewards.map((value) => value + 2),
          rewards.length,
          options,
        ).forEach((value, index) => expect(value).toBeCloseTo(advantages[index] ?? NaN, 9));
      },
    ),
  );
});

describe('rewards normalized by themselves (GDPO)', () => {
  test('a reward of small range counts as its weight says', () => {
    const coarse = [1, 0, 1, 0];
    const fine = [0.3, 0.31, 0.31, 0.3];
    const total = groupAdvantages(
      coarse.map((value, index) => value + (fine[index] ?? 0)),
      4,
      grpo,
    );
    // In the plain sum the fine reward hardly matters: who wins the coarse one wins by about as much.
    expect((total[2] ?? 0) / (total[0] ?? 0)).toBeLessThan(1.05);
    const decoupled = decoupledAdvantages(
      [
        { weight: 1, values: coarse },
        { weight: 1, values: fine },
      ],
      4,
    );
    const [first = NaN, second = NaN, third = NaN, fourth = NaN] = decoupled;
    expect(third).toBeGreaterThan(1);
    expect(first).toBeCloseTo(0, 3);
    expect(second).toBeCloseTo(0, 3);
    expect(fourth).toBeCloseTo(-third, 9);
  });

  test('the sum has the spread of one over the batch, and a unit does not matter', () => {
    fc.assert(
      fc.property(batches, fc.double({ min: 0.5, max: 40, noNaN: true }), ({ size, groups }, unit) => {
        const first = groups.flat();
        const second = first.toReversed();
        fc.pre(groups.every((group) => group.some((value) => value !== group[0])));
        const one = decoupledAdvantages(
          [
            { weight: 2, values: first },
            { weight: 1, values: second },
          ],
          size,
        );
        fc.pre(one.some((value) => Math.abs(value) > 1e-9));
        const spread = Math.sqrt(one.reduce((sum, value) => sum + value * value, 0) / (one.length - 1));
        expect(spread).toBeCloseTo(1, 3);
        const other = decoupledAdvantages(
          [
            { weight: 2, values: first.map((value) => value * unit) },
            { weight: 1, values: second },
          ],
          size,
        );
        one.forEach((value, index) => expect(other[index]).toBeCloseTo(value, 3));
      }),
    );
  });
});

test('what is no set of groups is refused', () => {
  expect(() => groupAdvantages([1, 2, 3], 2, grpo)).toThrow(/not groups of 2/);
  expect(() => groupAdvantages([1, NaN], 2, grpo)).toThrow(/not a finite number/);
});

test('a sample without a reward is left out of its group: the others get what they would get alone', () => {
  for (const estimator of ['grpo', 'rloo', 'reinforce++', 'passthrough'] as const) {
    const [a, missing, b, c] = groupAdvantages([1, undefined, 0, 0.5], 4, { estimator });
    expect(missing).toBe(0);
    expect([a, b, c]).toEqual(groupAdvantages([1, 0, 0.5], 3, { estimator }));
  }
});
