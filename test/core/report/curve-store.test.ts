import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CurveStore, mostBuckets } from '../../../core/report/curve-store.ts';

describe('curves in bounded memory', () => {
  test('few steps are kept as they are', () => {
    const store = new CurveStore();
    store.add({ step: 1, loss: 2, unixSeconds: 100 });
    store.add({ step: 2, loss: 1.5, note: 'text' });
    expect(store.snapshot()).toEqual({
      lines: 2,
      badLines: 0,
      width: 1,
      steps: [1, 2],
      times: [100, null],
      metrics: { loss: { mean: [2, 1.5] } },
    });
  });

  test('what a step did not measure is a gap; what is not finite is counted', () => {
    const store = new CurveStore();
    store.add({ step: 1, loss: Number.NaN });
    store.add({ step: 2, loss: 1, kl: 3 });
    store.add({ step: 3, loss: Number.POSITIVE_INFINITY });
    const { metrics } = store.snapshot();
    expect(metrics['loss']).toEqual({ mean: [null, 1, null], notFinite: 2 });
    expect(metrics['kl']).toEqual({ mean: [null, 3, null] });
  });

  test('of many, every bucket has the mean, the least and the largest of its steps', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 * mostBuckets }), fc.integer(), (count, seed) => {
        const values = Array.from({ length: count }, (_, at) => (Math.imul(at + 1, seed | 1) % 1000) / 8);
        const store = new CurveStore();
        for (const [at, value] of values.entries()) store.add({ step: at + 1, loss: value });
        const { width, steps, metrics, lines } = store.snapshot();
        expect(lines).toBe(count);
        expect(steps.length).toBe(Math.ceil(count / width));
        expect(steps.length).toBeLessThanOrEqual(mostBuckets);
        expect(steps.at(-1)).toBe(count);
        const bucket = Math.floor((steps.length - 1) / 2);
        const own = values.slice(bucket * width, (bucket + 1) * width);
        const mean = own.reduce((sum, value) => sum + value, 0) / own.length;
        expect(metrics['loss']?.mean[bucket]).toBeCloseTo(mean, 2);
        if (width === 1) return;
        expect(metrics['loss']?.low?.[bucket]).toBeCloseTo(Math.min(...own), 2);
        expect(metrics['loss']?.high?.[bucket]).toBeCloseTo(Math.max(...own), 2);
      }),
      { numRuns: 20 },
    );
  });

  test('100 000 steps take no more than 10 000: 41 kB for every metric', () => {
    const names = Array.from({ length: 12 }, (_, at) => `metric/${at}`);
    const store = new CurveStore();
    const add = (from: number, to: number): number => {
      for (let step = from; step < to; step++)
        store.add(Object.fromEntries([['step', step], ...names.map((name, at) => [name, step * at])]));
      return store.bytes;
    };
    const early = add(0, 10_000);
    expect(add(10_000, 100_000)).toBe(early);
    expect(early).toBeLessThan(12 * 41_000 + 33_000);
    expect(store.snapshot().lines).toBe(100_000);
  });

  test('at most 300 metrics are kept, whatever a file holds', () => {
    const store = new CurveStore();
    store.add(Object.fromEntries(Array.from({ length: 1000 }, (_, at) => [`m${at}`, at])));
    expect(Object.keys(store.snapshot().metrics)).toHaveLength(300);
    expect(store.bytes).toBeLessThan(13e6);
  });
});
