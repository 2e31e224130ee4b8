import { describe, expect, test } from 'vitest';
import type { Benchmark, JudgedPicture, Summary } from '../../../core/contracts/benchmark.ts';
import type { Evaluation } from '../../../core/contracts/evaluation.ts';
import { estimateScores } from '../../../core/evaluation/estimates.ts';
import { wilson } from '../../../core/evaluation/intervals.ts';

type Headline = NonNullable<Evaluation['headline']>;

/** One picture a prompt, with the given scores. */
function judged(scores: readonly number[], task = 'colors'): JudgedPicture[] {
  return scores.map((score, index) => ({
    index,
    copy: 0,
    task,
    prompt: `prompt ${index}`,
    verdict: { pass: score >= 1, score, why: '' },
  })) as JudgedPicture[];
}

function benchmark(aggregate?: Benchmark['aggregate']): Benchmark {
  return { tasks: ['colors'], prompts: () => [], judge: () => [], ...(aggregate && { aggregate }) };
}

function headlineOf(scores: readonly number[], { aggregate }: Pick<Benchmark, 'aggregate'> = {}): Headline {
  const { headline } = estimateScores(benchmark(aggregate), judged(scores), 0);
  if (headline === undefined) throw new Error('there is no headline');
  return headline;
}

const meanOutOf10 = (pictures: readonly JudgedPicture[]): Summary => ({
  headline: { name: 'mean', value: pictures.reduce((sum, { verdict }) => sum + verdict.score, 0) / pictures.length },
  outOf: 10,
  scores: {},
});

describe('intervals of an evaluation', () => {
  test('of passes are Wilson’s', () => {
    const { headline, subScores } = estimateScores(benchmark(), judged([1, 0, 1, 1]), 0);
    const { low, high } = wilson(3, 4);
    expect(headline).toMatchObject({ name: 'pass rate', value: 0.75, low, high });
    expect(subScores?.['colors']).toMatchObject({ low, high });
  });

  test.each([
    ['one', [0.7]],
    ['three alike', [0.7, 0.7, 0.7]],
    ['ten alike', Array.from({ length: 10 }, () => 0.7)],
  ])(
    'of graded scores that cannot differ when they are drawn again are as wide as those of passes: %s',
    (_, scores) => {
      const headline = headlineOf(scores);
      expect(headline.value).toBeCloseTo(0.7, 12);
      expect(headline.low).toBeLessThan(0.7 - 0.2);
      expect(headline.high).toBeGreaterThan(0.7 + 0.13);
      expect(headline.high).toBeLessThanOrEqual(1);
    },
  );

  test('of five prompts are no narrower than those of as many passes, of more what resampling gives', () => {
    const few = headlineOf([0.69, 0.7, 0.71, 0.7, 0.7]);
    expect(few.high - few.low).toBeGreaterThan(0.5);
    const scores = Array.from({ length: 40 }, (_, index) => 0.5 + 0.4 * Math.sin(index));
    const many = headlineOf(scores);
    expect(many.high - many.low).toBeLessThan(0.25);
    expect(many.low).toBeLessThan(many.value);
  });

  test('keep to the scale of the benchmark', () => {
    const headline = headlineOf([7, 7], { aggregate: meanOutOf10 });
    expect(headline.low).toBeGreaterThanOrEqual(0);
    expect(headline.low).toBeLessThan(4);
    expect(headline.high).toBeGreaterThan(9);
    expect(headline.high).toBeLessThanOrEqual(10);
  });

  test('of a score outside of its scale, which nothing bounds, are what resampling gives', () => {
    const headline = headlineOf([-1, -1, -1]);
    expect(headline).toMatchObject({ value: -1, low: -1, high: -1 });
  });
});
