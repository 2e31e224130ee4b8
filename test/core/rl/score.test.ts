import { describe, expect, test } from 'vitest';
import type { Reward, Sample } from '../../../core/contracts/reward.ts';
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
      place: 'reward "throws"',
      cause: { message: 'out of paint' },
    });
    expect(wasTold).toBe(true);
  });
});
