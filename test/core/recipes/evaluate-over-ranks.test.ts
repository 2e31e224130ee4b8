/** A benchmark that several ranks evaluate: everything is drawn once, the record is that of one process, and a stop is one of all. */
import { expect, test } from 'vitest';
import type { Benchmark } from '../../../core/contracts/benchmark.ts';
import type { Communicator } from '../../../core/contracts/communicator.ts';
import type { Evaluation } from '../../../core/contracts/evaluation.ts';
import type { RunContext } from '../../../core/contracts/recipe.ts';
import type { Drawer, Drawing } from '../../../core/drawing/drawer.ts';
import { silentLog } from '../../../core/log.ts';
import { agreedStop } from '../../../core/ranks/agreed.ts';
import { single } from '../../../core/ranks/single.ts';
import { evaluateBenchmark } from '../../../core/recipes/evaluate.ts';
import { createStop } from '../../../core/stop.ts';
import { testSample } from '../../../core/testing.ts';
import { onRanks } from '../../support/ranks-in-process.ts';

const count = 11;
const atOnce = 2;
const benchmark: Benchmark = {
  tasks: ['odd', 'even'],
  prompts: (_split, wanted) =>
    Array.from({ length: wanted }, (_, index) => ({
      prompt: `prompt ${index}`,
      task: index % 2 === 0 ? 'even' : 'odd',
      specification: { index },
    })),
  // What it says depends on what is judged together.
  judge: (samples) => samples.map(({ id }) => ({ pass: id.endsWith('3'), why: samples.map((each) => each.id).join() })),
};

/** `beforeShare`: called when a rank begins to draw; each rank hears signals of its own. */
async function evaluated(communicator: Communicator, beforeShare: (first: number, interrupt: () => void) => void) {
  const records: Evaluation[] = [];
  const heard = createStop();
  const { stop } = agreedStop(heard, communicator);
  const shares: number[] = [];
  const drawer = {
    prompts: atOnce,
    sharesAhead: 1,
    refuseTooLong: () => {},
    draw: (...[items, seed, { label, step, phase }, first = 0]: Parameters<Drawer['draw']>) => {
      if (items.length > 0) shares.push(first);
      beforeShare(first, () => heard.request('SIGTERM', 143));
      return Promise.resolve(
        items.map((item, index) => {
          const group = first + index;
          const image = { width: 2, height: 2, data: new Uint8Array(12).fill(seed * 20 + group) };
          const sample = testSample({ ...item, id: `${label}-${group}`, group, step, phase, image, codes: [group] });
          return { sample } as Drawing;
        }),
      );
    },
  } satisfies Partial<Drawer>;
  const context = {
    communicator,
    stop,
    rewards: [],
    benchmarks: [{ name: 'odd-or-even', benchmark }],
    signal: new AbortController().signal,
    log: silentLog(),
    hooks: { evaluation: () => Promise.resolve() },
    directory: { writeEvaluation: (record: Evaluation) => Promise.resolve(void records.push(record)) },
  } as unknown as RunContext;
  const plan = { label: 'before', step: 0, split: 'heldout', count, seed: 3, pictures: 4 } as const;
  const named = { name: 'odd-or-even', benchmark };
  const record = await evaluateBenchmark(context, drawer as unknown as Drawer, named, {} as never, plan);
  expect(records).toEqual(record === undefined ? [] : [record]);
  return { record, shares, isStopped: stop.requested };
}

const undisturbed = (): void => {};

test('records are those of one process, to the byte, and every share is drawn once', async () => {
  const alone = await evaluated(single, undisturbed);
  expect(alone.shares).toEqual([0, 2, 4, 6, 8, 10]);
  expect(alone.record?.overall).toEqual({ passes: 1, total: count });
  for (const size of [2, 3, 4]) {
    const [first, ...others] = await onRanks(size, (communicator) => evaluated(communicator, undisturbed));
    expect(JSON.stringify(first?.record)).toBe(JSON.stringify(alone.record));
    for (const { record } of others) expect(record).toBeUndefined();
    const drawn = [first, ...others].flatMap((each) => each?.shares ?? []);
    expect(drawn.sort((a, b) => a - b)).toEqual(alone.shares);
    // Nobody draws two shares more than another.
    for (const { shares } of others) expect((first?.shares.length ?? 0) - shares.length).toBeLessThanOrEqual(1);
  }
});

test('a stop that one rank hears ends the evaluation on all behind the same round', async () => {
  const ranks = await onRanks(2, (communicator) =>
    evaluated(communicator, (first, interrupt) => {
      if (first === 6) interrupt();
    }),
  );
  expect(ranks.map(({ shares }) => shares)).toEqual([
    [0, 4],
    [2, 6],
  ]);
  expect(ranks.map(({ record, isStopped }) => [record, isStopped])).toEqual([
    [undefined, true],
    [undefined, true],
  ]);
});
