import { expect, test } from 'vitest';
import { wilson } from '../../../core/evaluation/intervals.ts';

test.each([
  // Published intervals of the nano world's evaluations, n = 600.
  [302, 600, 0.503, 0.463, 0.543],
  [452, 600, 0.753, 0.717, 0.786],
  [1, 10, 0.1, 0.0179, 0.4041],
] as const)('wilson(%i, %i)', (passes, total, rate, low, high) => {
  const interval = wilson(passes, total);
  expect(interval.rate).toBeCloseTo(rate, 3);
  expect(interval.low).toBeCloseTo(low, 3);
  expect(interval.high).toBeCloseTo(high, 3);
});

test('is exact at the ends and says nothing without trials', () => {
  expect(wilson(0, 20)).toMatchObject({ rate: 0, low: 0 });
  expect(wilson(20, 20)).toMatchObject({ rate: 1, high: 1 });
  expect(wilson(20, 20).low).toBeCloseTo(1 - wilson(0, 20).high, 12);
  expect(wilson(0, 0)).toEqual({ rate: 0, low: 0, high: 1 });
  expect(() => wilson(3, 2)).toThrow(RangeError);
  expect(() => wilson(0.5, 2)).toThrow(RangeError);
});
