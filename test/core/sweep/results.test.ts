import { expect, test } from 'vitest';
import type { Evaluation } from '../../../core/contracts/evaluation.ts';
import { at } from '../../../core/tensor/at.ts';
import { compareVariants, type RunResult } from '../../../core/sweep/results.ts';
import { planSweep } from '../../../core/sweep/record.ts';

const prompts = 60;

/** An evaluation in which the first so many prompts pass. */
function evaluation(passes: number, more: Partial<Evaluation> = {}): Evaluation {
  const verdicts = Array.from({ length: prompts }, (_, index) => ({
    index,
    copy: 0,
    prompt: `prompt ${index}`,
    task: index % 2 === 0 ? 'even' : 'odd',
    pass: index < passes,
    score: index < passes ? 1 : 0,
    why: '',
  }));
  return {
    label: 'after',
    benchmark: 'b',
    step: 9,
    split: 'heldout',
    seed: 1,
    count: prompts,
    sampling: {},
    overall: { passes, total: prompts },
    tasks: {},
    extra: {},
    samples: [],
    verdicts,
    ...more,
  };
}

const sweep = planSweep(
  { preset: 'p', hash: '', settings: [] },
  [
    { name: 'a', settings: [] },
    { name: 'b', settings: [] },
  ],
  [0, 1],
);

function results(passes: readonly (readonly (number | undefined)[])[], before?: number): RunResult[] {
  return sweep.runs.map((run) => {
    const own = at(passes, run.variant)[run.seed];
    const first = before === undefined ? [] : [evaluation(before, { label: 'before', step: 0 })];
    return { ...run, reward: undefined, evaluations: own === undefined ? [] : [...first, evaluation(own)] };
  });
}

test('a difference is clear when its interval leaves out 0 and every seed agrees', () => {
  const [found] = compareVariants(
    sweep,
    results(
      [
        [20, 24],
        [40, 38],
      ],
      20,
    ),
  );
  expect(found).toMatchObject({ benchmark: 'b', split: 'held-out', score: 'pass rate', pictures: prompts });
  const [first, second] = found?.variants ?? [];
  expect(first?.scores).toEqual([20 / 60, 24 / 60]);
  expect(first?.difference).toBeUndefined();
  expect(first?.gain).toMatchObject({ difference: 4 / 120, seeds: 2, agreeing: 1, isClear: false });
  expect(second?.difference).toMatchObject({
    difference: 34 / 120,
    pairs: 120,
    prompts,
    seeds: 2,
    agreeing: 2,
    isClear: true,
  });
  expect(second?.difference?.low).toBeGreaterThan(0);
});

test('what only one seed shows is not clear, however narrow the interval', () => {
  const [found] = compareVariants(
    sweep,
    results([
      [20, 20],
      [50, 19],
    ]),
  );
  const difference = found?.variants[1]?.difference;
  expect(difference?.low).toBeGreaterThan(0);
  expect(difference).toMatchObject({ agreeing: 1, seeds: 2, isClear: false });
});

test('a run that is missing is left out of both sides; nothing at all is nothing', () => {
  const [found] = compareVariants(
    sweep,
    results([
      [20, 24],
      [40, undefined],
    ]),
  );
  expect(found?.variants[1]).toMatchObject({ scores: [40 / 60, undefined], gain: undefined });
  expect(found?.variants[1]?.difference).toMatchObject({ pairs: prompts, seeds: 1, difference: 20 / 60 });
  expect(
    compareVariants(
      sweep,
      results([
        [undefined, undefined],
        [undefined, undefined],
      ]),
    ),
  ).toEqual([]);
  const [alone] = compareVariants(
    sweep,
    results([
      [undefined, undefined],
      [10, 10],
    ]),
  );
  expect(alone?.variants[1]?.difference).toBeUndefined();
});

test('equal results differ by nothing and are not clear', () => {
  const [found] = compareVariants(
    sweep,
    results([
      [20, 24],
      [20, 24],
    ]),
  );
  expect(found?.variants[1]?.difference).toMatchObject({ difference: 0, agreeing: 0, isClear: false });
});
