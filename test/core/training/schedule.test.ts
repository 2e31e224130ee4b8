import { describe, expect, test } from 'vitest';
import { rateFactor, unfinishedWarmup } from '../../../core/training/schedule.ts';

const base = { schedule: 'constant', warmup: 0, minimumRate: 0, constantShare: 0 } as const;
const over = (steps: number, options: Parameters<typeof rateFactor>[2]): number[] =>
  Array.from({ length: steps }, (_, index) => rateFactor(index + 1, steps, options));

describe('learning rates', () => {
  test('constant: the first step has the whole rate', () => {
    expect(over(5, base)).toEqual([1, 1, 1, 1, 1]);
  });

  test('a warm-up in steps, or as a share of all steps, rises to the whole rate and is never zero', () => {
    expect(over(8, { ...base, warmup: 4 })).toEqual([0.25, 0.5, 0.75, 1, 1, 1, 1, 1]);
    expect(over(8, { ...base, warmup: 0.5 })).toEqual(over(8, { ...base, warmup: 4 }));
    expect(rateFactor(1, 1000, { ...base, warmup: 0.1 })).toBeCloseTo(0.01, 12);
  });

  test('a warm-up that is longer than the run is told', () => {
    expect(unfinishedWarmup(100, { warmup: 1000 })).toMatch(/ends at 10 % of optimizer\.learningRate/);
    for (const warmup of [0, 0.9, 100]) expect(unfinishedWarmup(100, { warmup })).toBeUndefined();
  });

  test('linear and cosine fall to their end, which may be above zero', () => {
    expect(over(5, { ...base, schedule: 'linear' })).toEqual([1, 0.75, 0.5, 0.25, 0]);
    expect(over(5, { ...base, schedule: 'linear', minimumRate: 0.2 }).map((rate) => Number(rate.toFixed(9)))).toEqual([
      1, 0.8, 0.6, 0.4, 0.2,
    ]);
    const cosine = over(100, { ...base, schedule: 'cosine', warmup: 10, minimumRate: 0.1 });
    expect(cosine[9]).toBe(1);
    expect(cosine[54]).toBeCloseTo(0.55, 9);
    expect(cosine[99]).toBeCloseTo(0.1, 9);
    expect(cosine.slice(9).every((rate, index, all) => index === 0 || rate < (all[index - 1] ?? 0))).toBe(true);
  });

  test('the peak may be kept for a share of the steps', () => {
    const rates = over(10, { ...base, schedule: 'linear', constantShare: 0.5 });
    expect(rates.slice(0, 5)).toEqual([1, 1, 1, 1, 1]);
    expect(rates.slice(5).map((rate) => Number(rate.toFixed(9)))).toEqual([0.8, 0.6, 0.4, 0.2, 0]);
  });
});
