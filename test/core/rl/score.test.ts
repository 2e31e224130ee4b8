import { describe, expect, test } from 'vitest';
import type { Reward, Sample, Score } from '../../../core/contracts/reward.ts';
import { rewardMetrics, totalMetrics } from '../../../core/rl/reward-metrics.ts';
import { scoreSamples } from '../../../core/rl/score.ts';

const samples = ['a', 'b', 'c'].map((id) => ({ id, prompt: `draw ${id}` }) as Sample);
const named = (name: string, score: Reward['score'], weight = 1) => ({ name, weight, reward: { score } });
const never = new AbortController().signal;

test('totals are weighted sums; numbers and scores may be mixed', async () => {
  const judgements = await scoreSamples(
    [
      named('one', () => [1, { value: 2, why: 'red', parts: { x: 1 } }, 3], 2),
      named('two', async () => [10, 20, 30], 0.5),
    ],
    samples,
    never,
  );
  expect(judgements.map(({ total }) => total)).toEqual([7, 14, 21]);
  expect(judgements[1]?.scores).toEqual({ one: { value: 2, why: 'red', parts: { x: 1 } }, two: { value: 20 } });
});

test('rewards judge at the same time', async () => {
  let met = 0;
  let open = (): void => {};
  const both = new Promise<void>((resolve) => {
    open = resolve;
  });
  const meet = async (): Promise<number[]> => {
    if (++met === 2) open();
    await both;
    return [0, 0, 0];
  };
  await scoreSamples([named('one', meet), named('two', meet)], samples, never);
  expect(met).toBe(2);
});

describe('a reward that misbehaves is named', () => {
  test.each<[string, Reward['score'], RegExp]>([
    ['too few', () => [1, 2], /returned 2 scores for 3 samples/],
    ['too many', () => [1, 2, 3, 4], /returned 4 scores for 3 samples/],
    ['NaN', () => [1, Number.NaN, Number.NaN], /sample 1 \("draw b", id b\) is NaN/],
    ['infinite value', () => [{ value: Number.POSITIVE_INFINITY }, 1, 1], /sample 0 \("draw a", id a\) is Infinity/],
    ['text', () => [1, 1, 'high'] as unknown as number[], /sample 2 \("draw c", id c\) is "high"/],
    ['hole', () => [1, undefined, 1] as unknown as number[], /sample 1 .* is undefined/],
    ['no list', () => undefined as unknown as number[], /did not return a list/],
  ])('%s', async (_, score, message) => {
    const scoring = scoreSamples([named('good', () => [0, 0, 0]), named('bad', score)], samples, never);
    await expect(scoring).rejects.toMatchObject({
      code: 'BAD_SCORES',
      place: 'reward "bad"',
      message: expect.stringMatching(message),
    });
  });

  test('one that throws keeps its cause and tells the others to stop', async () => {
    let wasTold = false;
    const waits: Reward['score'] = (_, signal) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => {
          wasTold = true;
          resolve([0, 0, 0]);
        });
      });
    const throws = (): never => {
      throw new Error('out of paint');
    };
    const scoring = scoreSamples([named('waits', waits), named('throws', throws)], samples, never);
    await expect(scoring).rejects.toMatchObject({
      code: 'REWARD_FAILED',
      place: expect.stringMatching(/^reward "throws" \(test\/core\/rl\/score\.test\.ts:\d+:\d+\)$/) as string,
      cause: { message: 'out of paint' },
    });
    expect(wasTold).toBe(true);
  });
});

const itself: Record<string, unknown> = {};
itself['itself'] = itself;
const unreadable = {
  value: 1,
  get why(): string {
    throw new Error('no why');
  },
};

describe('parts and explanations are checked where they enter', () => {
  test.each<[string, unknown, RegExp]>([
    ['NaN', { value: 1, parts: { x: Number.NaN } }, /part "x" of its score for sample 0 .* is NaN/],
    ['null', { value: 1, parts: { x: null } }, /part "x" .* is null/],
    ['a BigInt', { value: 1, parts: { x: 1n } }, /part "x" .* is 1n/],
    ['a boolean', { value: 1, parts: { x: true } }, /part "x" .* is true/],
    ['parts that are a text', { value: 1, parts: 'x' }, /the parts of its score .* are "x"/],
    ['an explanation that is no text', { value: 1, why: 7 }, /explanation .* is 7/],
    ['parts that are a list', { value: 1, parts: [1, 2] }, /the parts of its score .* are \[1,2\]/],
    ['parts that are a map', { value: 1, parts: new Map([['x', 1]]) }, /the parts of its score .* are \{\}/],
    ['a part within a part', { value: 1, parts: { x: { y: 1 } } }, /part "x" .* is \{"y":1\}/],
    ['infinity', { value: 1, parts: { x: -Infinity } }, /part "x" .* is -Infinity/],
    ['a value that holds itself', { value: itself }, /score for sample 0 .* is \[object Object\]/],
    ['a value with a BigInt in it', { value: { x: 1n } }, /score for sample 0 .* is \[object Object\]/],
    ['a value of more than 32 bits', 1e39, /score for sample 0 .* is 1e\+39/],
    ['a symbol', Symbol('x'), /score for sample 0 .* is symbol/],
    ['a field that throws', unreadable, /one of its scores cannot be read: no why/],
    ['a value that is a BigInt', { value: 1n }, /score for sample 0 .* is 1n/],
  ])('%s', async (_, answer, message) => {
    const reward = named('bad', () => [answer, 0, 0] as unknown as number[]);
    await expect(scoreSamples([reward], samples, never)).rejects.toMatchObject({
      code: 'BAD_SCORES',
      place: 'reward "bad"',
      message: expect.stringMatching(message) as string,
    });
  });
});

test('of a score what it may hold is kept, read once', async () => {
  const extra: Record<string, unknown> = { value: 1, why: 'x', more: () => 1, parts: { a: 1 } };
  extra['itself'] = extra;
  let reads = 0;
  class Own {
    get value(): number {
      return reads++ === 0 ? 2 : Number.NaN;
    }
  }
  const [first, second, third] = await scoreSamples(
    [named('own', () => [extra as unknown as Score, new Own(), 3])],
    samples,
    never,
  );
  expect(first?.scores['own']).toEqual({ value: 1, why: 'x', parts: { a: 1 } });
  expect([second?.total, second?.scores['own'], third?.total]).toEqual([2, { value: 2 }, 3]);
});

test.each<readonly [what: string, answers: readonly unknown[], message: string]>([
  [
    'a score that is still to come',
    [Promise.resolve(1), 1, 1],
    'one of its scores is still to come: wait for them with `await Promise.all(…)`',
  ],
  [
    'an object without a value',
    [{ score: 1, why: 'x' }, 1, 1],
    'one of its scores is an object without `value`: it has score, why',
  ],
  ['an empty object', [{}, 1, 1], 'one of its scores is an object without `value`: it has nothing'],
  ['a sample itself', [samples[0], 1, 1], 'one of its scores is an object without `value`: it has '],
])('%s is told as such', async (_, answers, message) => {
  await expect(scoreSamples([named('slips', () => answers as never)], samples, never)).rejects.toMatchObject({
    code: 'BAD_SCORES',
    message: expect.stringContaining(message) as string,
  });
});

test('a total beyond what numbers hold is refused', async () => {
  await expect(scoreSamples([named('large', () => [1e38, 0, 0], 10)], samples, never)).rejects.toMatchObject({
    code: 'BAD_SCORES',
    message: expect.stringMatching(/the total for the drawing of .* is 1e\+39/) as string,
  });
});

describe('scores belong to samples', () => {
  test('those with ids may stand in any order', async () => {
    const reward = named('ids', (given) => given.map(({ id }, index) => ({ id, value: index })).toReversed());
    expect((await scoreSamples([reward], samples, never)).map(({ total }) => total)).toEqual([0, 1, 2]);
  });

  test.each<[string, Reward['score'], RegExp]>([
    [
      'of a stranger',
      () => ['a', 'b', 'x'].map((id) => ({ id, value: 0 })),
      /a sample "x" that it was not asked about/,
    ],
    ['of one sample twice', () => ['a', 'b', 'b'].map((id) => ({ id, value: 0 })), /two scores for one sample/],
    ['some without', () => [{ id: 'a', value: 0 }, 1, 2], /some of its scores name the id .* and some do not/],
  ])('ids %s are refused', async (_, score, message) => {
    await expect(scoreSamples([named('ids', score)], samples, never)).rejects.toThrow(message);
  });

  test('a list that is sorted in place is refused, not scored wrongly', async () => {
    const sorts = named('sorts', (given) => (given as Sample[]).reverse().map((_, index) => index));
    await expect(scoreSamples([sorts], samples, never)).rejects.toMatchObject({
      code: 'REWARD_FAILED',
      hint: expect.stringMatching(/copy it first/) as string,
    });
  });
});

test('null does not apply: left out of the total, and a sample that no reward applies to is not judged', async () => {
  const one = named('one', () => [1, null, null], 2);
  const two = named('two', () => [null, 3, null]);
  expect(await scoreSamples([one, two], samples, never)).toEqual([
    { total: 2, scores: { one: { value: 1 } } },
    { total: 3, scores: { two: { value: 3 } } },
    { total: 0, scores: {}, unjudged: true },
  ]);
});

describe("what the failure of a reward means is the preset's choice", () => {
  const throws: Reward['score'] = () => {
    throw new Error('out of paint');
  };
  const good = named('good', () => [1, 1, 1]);

  test('ignore: the total is made without it, and the failure counts as an invalid answer', async () => {
    const said: string[] = [];
    const bad = { ...named('bad', throws), onError: 'ignore' as const };
    const judgements = await scoreSamples([good, bad], samples, never, (text) => said.push(text));
    expect(judgements).toEqual(samples.map(() => ({ total: 1, scores: { good: { value: 1 } }, failed: ['bad'] })));
    expect(said).toEqual([expect.stringMatching(/^reward "bad" failed, the total is made without it: .*out of paint/)]);
    expect(rewardMetrics([good, bad], judgements)).toMatchObject({
      'reward/good': 1,
      'reward/good/invalidShare': 0,
      'reward/bad/invalidShare': 1,
    });
  });

  test('drop: no sample is judged', async () => {
    const bad = { ...named('bad', throws), onError: 'drop' as const };
    const judgements = await scoreSamples([good, bad], samples, never);
    expect(judgements.every(({ unjudged }) => unjudged === true)).toBe(true);
    expect(totalMetrics([good, bad], judgements)).toEqual({});
  });

  test('retries: it is asked again', async () => {
    let asked = 0;
    const flaky = { ...named('flaky', () => (++asked === 1 ? throws(samples, never) : [1, 1, 1])), retries: 1 };
    expect((await scoreSamples([flaky], samples, never)).map(({ total }) => total)).toEqual([1, 1, 1]);
    expect(asked).toBe(2);
  });
});

test('numbers of rewards: mean, deviation, passes, unparsed answers, parts; what does not apply is left out', () => {
  const judgements = [
    { total: 1, scores: { one: { value: 1, parts: { color: 1 } } } },
    { total: 0, scores: { one: { value: 0, parts: { color: 0.5 }, unparsed: true as const } } },
    { total: 0, scores: {}, unjudged: true as const },
  ];
  const metrics = rewardMetrics([named('one', () => [])], judgements);
  expect(metrics).toEqual({
    'reward/one': 0.5,
    'reward/one/std': Math.sqrt(0.5),
    'reward/one/passRate': 0.5,
    'reward/one/invalidShare': 0.5,
    'reward/one/parts/color': 0.75,
  });
  expect(totalMetrics([named('one', () => [])], judgements)).toEqual({ reward: 0.5, passRate: 0.5 });
});
