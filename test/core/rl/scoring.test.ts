/** What several rewards say of samples that come share by share: when they are asked, how they add up, and what a missing verdict means. */
import { describe, expect, test } from 'vitest';
import type { NamedReward } from '../../../core/contracts/recipe.ts';
import type { Reward, RewardAnswer, Sample } from '../../../core/contracts/reward.ts';
import { bestTotal, isAnyTrainedOn, totalOf, weightAt } from '../../../core/rl/combine.ts';
import { isBest, rewardMetrics } from '../../../core/rl/reward-metrics.ts';
import { batchwise, groupwise, pairwise, pointwise } from '../../../core/rl/reward-shapes.ts';
import { scoreSamples } from '../../../core/rl/score.ts';
import { Scoring } from '../../../core/rl/scoring.ts';

const { signal } = new AbortController();
/** Three prompts of two drawings. */
const samples = [0, 1, 2, 3, 4, 5].map(
  (index) => ({ id: `s${index}`, group: Math.floor(index / 2), copy: index % 2, prompt: `prompt ${index}` }) as Sample,
);
const named = (name: string, reward: Reward, more: Partial<NamedReward> = {}): NamedReward => ({
  name,
  weight: 1,
  reward,
  ...more,
});
const says = (answers: readonly RewardAnswer[]): Reward => ({
  score: (given) => given.map(({ id }) => answers[Number(id.slice(1))] ?? null),
});
const totals = async (...rewards: NamedReward[]): Promise<(number | undefined)[]> =>
  (await scoreSamples(rewards, samples, signal)).map(({ total, unjudged }) => (unjudged === true ? undefined : total));

describe('a reward is asked as soon as what it looks at is there', () => {
  test('single samples and groups share by share, the batch at once', async () => {
    const seen: string[] = [];
    const look = (who: string, sees: Reward['sees']): NamedReward =>
      named(who, {
        ...(sees !== undefined && { sees }),
        score: (given) => {
          seen.push(`${who} ${given.length}`);
          return given.map(() => 1);
        },
      });
    const rewards = [look('sample', 'sample'), look('group', 'group'), look('batch', 'batch'), look('old', undefined)];
    const scoring = new Scoring({ rewards, signal });
    scoring.add(samples.slice(0, 2));
    expect(seen).toEqual(['sample 2', 'group 2']);
    scoring.add(samples.slice(2));
    expect(seen).toEqual(['sample 2', 'group 2', 'sample 4', 'group 4']);
    expect(await scoring.finish()).toHaveLength(6);
    expect(seen.slice(4)).toEqual(['batch 6', 'old 6']);
  });

  test('what it says depends on nothing else: shares that end in any order give the judgements of one call', async () => {
    const slow = (delays: readonly number[]): Reward => ({
      sees: 'group',
      score: async (given) => {
        await new Promise((resolve) => setTimeout(resolve, delays[given[0]?.group ?? 0]));
        return given.map(({ id }) => Number(id.slice(1)));
      },
    });
    const judged = async (delays: readonly number[]): Promise<unknown> => {
      const scoring = new Scoring({
        rewards: [named('slow', slow(delays)), named('two', says([1, null, 2, 3, 4, 5]))],
        signal,
      });
      for (const start of [0, 2, 4]) scoring.add(samples.slice(start, start + 2));
      return scoring.finish();
    };
    expect(await judged([30, 1, 15])).toEqual(await judged([1, 15, 30]));
  });

  test('the first failure ends the others, and is told before everything is drawn', async () => {
    let wasTold = false;
    const waits: Reward = {
      sees: 'sample',
      score: (_, given) =>
        new Promise((_resolve, reject) => {
          given.addEventListener('abort', () => {
            wasTold = true;
            reject(given.reason as Error);
          });
        }),
    };
    const fails: Reward = { sees: 'sample', score: () => Promise.reject(new Error('out of paint')) };
    const scoring = new Scoring({ rewards: [named('waits', waits), named('fails', fails)], signal });
    scoring.add(samples.slice(0, 2));
    await new Promise((resolve) => setImmediate(resolve));
    expect(() => scoring.throwIfFailed()).toThrow('out of paint');
    expect(wasTold).toBe(true);
    await expect(scoring.finish()).rejects.toMatchObject({ code: 'REWARD_FAILED' });
  });
});

describe('several rewards are one number', () => {
  test('gates multiply, weights add, what is held out is measured only', async () => {
    expect(
      await totals(
        named('one', says([1, 2, 3, 4, 5, 6]), { weight: 2 }),
        named('gate', says([1, 0, 0.5, 1, null, 1]), { gate: true, weight: 7 }),
        named('held-out', says([9, 9, 9, 9, 9, 9]), { heldOut: true }),
      ),
    ).toEqual([2, 0, 3, 8, 10, 12]);
    const judgements = await scoreSamples(
      [named('a', says([1])), named('b', says([0.3]), { heldOut: true })],
      samples.slice(0, 1),
      signal,
    );
    expect(judgements[0]).toMatchObject({ total: 1, scores: { a: { value: 1 }, b: { value: 0.3 } } });
  });

  test('gates alone are the total; what only a held-out reward judges is not judged', async () => {
    expect(await totals(named('gate', says([1, 0.5, null, 1, 1, 1]), { gate: true }))).toEqual([
      1,
      0.5,
      undefined,
      1,
      1,
      1,
    ]);
    expect(await totals(named('a', says([null, 1])), named('b', says([1, 1]), { heldOut: true }))).toEqual([
      undefined,
      1,
      ...Array<undefined>(4).fill(undefined),
    ]);
  });

  test.each([
    [0, 0.5],
    [10, 0.5],
    [15, 0.75],
    [20, 1],
    [25, 0.5],
    [30, 0],
    [1000, 0],
  ])('a weight follows its schedule: at step %i it is %d', (step, weight) => {
    const schedule = [
      [10, 0.5],
      [20, 1],
      [30, 0],
    ] as const;
    expect(weightAt({ weight: 7, schedule }, step)).toBeCloseTo(weight, 12);
    expect(weightAt({ weight: 7 }, step)).toBe(7);
  });

  test('the best total counts gates and not what is held out or taken off', () => {
    const rewards = [
      named('a', says([]), { weight: 2 }),
      named('b', says([]), { weight: -1 }),
      named('c', says([]), { gate: true }),
      named('d', says([]), { heldOut: true }),
    ];
    expect(bestTotal(rewards)).toBe(2);
    expect(isBest(rewards, 2)).toBe(true);
    expect(isBest(rewards, 1.9)).toBe(false);
    expect(totalOf(rewards, [undefined, undefined, undefined, 1])).toBeUndefined();
  });

  test.each<[string, boolean, ...Partial<NamedReward>[]]>([
    ['a weight', true, { weight: 0.1 }],
    ['a weight below 0', true, { weight: -1 }],
    ['no weight', false, { weight: 0 }, { weight: 0 }],
    ['gates alone', true, { gate: true, weight: 0 }],
    ['a gate that multiplies a sum of 0', false, { gate: true }, { weight: 0 }],
    ['nothing but what is held out', false, { heldOut: true }, { heldOut: true, gate: true }],
    [
      'a weight that begins within the run',
      true,
      {
        schedule: [
          [5, 0],
          [9, 1],
        ],
      },
    ],
    [
      'a weight that begins behind its end',
      false,
      {
        schedule: [
          [10, 0],
          [20, 1],
        ],
      },
    ],
    [
      'a weight that is over before it begins',
      false,
      {
        schedule: [
          [0, 1],
          [1, 0],
        ],
      },
    ],
  ])('whether anything is trained on in ten steps: %s', (_what, expected, ...all) => {
    const rewards = all.map((own, index) => named(`reward ${index}`, says([]), own));
    expect(isAnyTrainedOn(rewards, 10)).toBe(expected);
  });
});

describe('a sample without a verdict', () => {
  const partly = says([1, { noVerdict: 'the answer has no end' }, 0.5, 1, 0, 0.25]);

  test('is left out of its group, and counted', async () => {
    const rewards = [named('judge', partly)];
    expect(await totals(...rewards)).toEqual([1, undefined, 0.5, 1, 0, 0.25]);
    const judgements = await scoreSamples(rewards, samples, signal);
    expect(judgements[1]).toMatchObject({
      withoutVerdict: { judge: 'the answer has no end' },
      unjudged: true,
      scores: {},
    });
    expect(rewardMetrics(rewards, judgements)).toMatchObject({
      'reward/judge': 0.55,
      'reward/judge/invalidShare': 1 / 6,
    });
  });

  test('gets the mean of its group where the preset says so; a group without any verdict has none', async () => {
    const rewards = [named('judge', partly, { onNoVerdict: 'group-mean' }), named('other', says([1, 1, 1, 1, 1, 1]))];
    expect(await totals(...rewards)).toEqual([2, 2, 1.5, 2, 1, 1.25]);
    const silent = says([{ noVerdict: 'a' }, { noVerdict: 'b' }, 1, 1, 1, 1]);
    expect(await totals(named('judge', silent, { onNoVerdict: 'group-mean' }))).toEqual([
      undefined,
      undefined,
      1,
      1,
      1,
      1,
    ]);
    // The stand-in is no verdict: metrics do not count it.
    const judgements = await scoreSamples(rewards, samples, signal);
    expect(judgements[1]?.scores).toEqual({ other: { value: 1 } });
  });

  test('ends the run where the preset says so', async () => {
    await expect(totals(named('judge', partly, { onNoVerdict: 'fail' }))).rejects.toMatchObject({
      code: 'NO_VERDICT',
      place: 'reward "judge"',
      message: expect.stringContaining('prompt 1') as string,
    });
  });

  test('of a held-out reward costs nothing', async () => {
    expect(
      await totals(
        named('a', says([1, 1, 1, 1, 1, 1])),
        named('judge', partly, { heldOut: true, onNoVerdict: 'fail' }),
      ),
    ).toEqual(Array(6).fill(1));
  });

  test('is refused without a reason', async () => {
    const mute = says([{ noVerdict: 7 } as unknown as RewardAnswer]);
    await expect(totals(named('judge', mute))).rejects.toMatchObject({ code: 'BAD_SCORES' });
  });
});

describe('rewards by what they look at', () => {
  test('one drawing at a time', async () => {
    const reward = pointwise({ judgesBenchmarks: true, score: ({ id }) => (id === 's3' ? null : Number(id.slice(1))) });
    expect(reward).toMatchObject({ sees: 'sample', judgesBenchmarks: true });
    expect(await reward.score(samples, signal)).toEqual([0, 1, 2, null, 4, 5]);
  });

  test('the drawings of a prompt, wherever they stand', async () => {
    const sizes: number[] = [];
    const reward = groupwise({
      score: (group) => {
        sizes.push(group.length);
        return group.map(({ id }, index) => ({ value: Number(id.slice(1)) + index / 10 }));
      },
    });
    const mixed = [3, 0, 1, 2].map((index) => samples[index]!);
    expect(await reward.score(mixed, signal)).toEqual([{ value: 3 }, { value: 0 }, { value: 1.1 }, { value: 2.1 }]);
    expect(sizes).toEqual([2, 2]);
    await expect(groupwise({ score: () => [1] }).score(samples, signal)).rejects.toThrow('1 answers for a group of 2');
  });

  test('two at a time: the share of the others that a drawing beats', async () => {
    const four = [0, 1, 2, 3].map((index) => ({ ...samples[0]!, id: `s${index}`, copy: index }));
    const worth = [3, 1, 2, 1];
    const asked: string[] = [];
    const compare = (a: Sample, b: Sample): number => {
      asked.push(a.id + b.id);
      const [x = 0, y = 0] = [worth[Number(a.id.slice(1))], worth[Number(b.id.slice(1))]];
      return x === y ? 0.5 : Number(x > y);
    };
    const values = (await pairwise({ compare }).score(four, signal)).map(
      (answer) => (answer as { value: number }).value,
    );
    expect(values.map((value) => value * 3)).toEqual([3, 0.5, 2, 0.5]);
    expect(asked).toHaveLength(6);
    // One that prefers what it sees first wins nothing by it.
    const first = pairwise({ bothOrders: true, compare: () => 1 });
    expect((await first.score(four, signal)).map((answer) => (answer as { value: number }).value)).toEqual([
      0.5, 0.5, 0.5, 0.5,
    ]);
    expect(await pairwise({ compare: () => null }).score(four, signal)).toEqual([null, null, null, null]);
    expect(await pairwise({ compare }).score([samples[0]!], signal)).toEqual([null]);
  });

  test('everything', async () => {
    const reward = batchwise({ score: (all) => all.map(() => all.length) });
    expect(await reward.score(samples, signal)).toEqual(Array(6).fill(6));
    expect(reward.sees).toBe('batch');
  });
});
