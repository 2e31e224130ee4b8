import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { byKernel } from './breakdown.ts';
import { clockRate } from './clock.mjs';
import { busySeconds, cpuClock, type CpuClock } from './machine.ts';
import { judge, measure, summarize, type Case, type Sample } from './measure.ts';
import { rowsOf, table, toMarkdown } from './report.ts';

const nothing: Case = { group: 'linear', name: 'nothing', work: { amount: 3, unit: 'GFLOP' }, run: async () => {} };

function sample(milliseconds: number, others: number | undefined): Sample {
  return { milliseconds, others, repetitions: 1, cpuMilliseconds: milliseconds * 2 };
}

test('median and quartiles interpolate; nothing measured is an error', () => {
  expect(summarize([4, 1, 3, 2])).toEqual({ median: 2.5, low: 1.75, high: 3.25 });
  expect(summarize([7])).toEqual({ median: 7, low: 7, high: 7 });
  expect(() => summarize([])).toThrow('nothing was measured');
});

describe('a result', () => {
  test('is the median of the undisturbed samples where at least half of the rounds were', () => {
    const result = judge(
      nothing,
      [sample(10, 0.02), sample(30, 0.5), sample(12, 0.1), sample(40, 0.9), sample(11, 0)],
      5,
      0.1,
    );
    expect(result.isDisturbed).toBe(false);
    expect(result.summary.median).toBe(11);
  });

  test('is marked and taken over all samples otherwise', () => {
    const result = judge(nothing, [sample(10, 0.02), sample(30, 0.5), sample(40, 0.9)], 5, 0.1);
    expect(result.isDisturbed).toBe(true);
    expect(result.summary.median).toBe(30);
  });

  test('counts every sample where the system does not tell of other load', () => {
    expect(judge(nothing, [sample(1, undefined), sample(2, undefined), sample(3, undefined)], 3, 0.1).isDisturbed).toBe(
      false,
    );
  });
});

/** A case that takes a millisecond of a faked clock and keeps account. */
function counted(name: string): { readonly case: Case; readonly log: string[] } {
  const log: string[] = [];
  const each: Case = {
    ...nothing,
    name,
    check: async () => void log.push('check'),
    run: async (times) => {
      log.push(`run ${times}`);
      vi.advanceTimersByTime(times);
    },
  };
  return { case: each, log };
}

describe('measuring', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
  afterEach(() => void vi.useRealTimers());

  test('samples are long enough, interleaved, and repeated while others disturb', async () => {
    const first = counted('first');
    const second = counted('second');
    const shares = [0.5, 0, 0, 0, 0];
    const clock: CpuClock = () => () => ({ ownMilliseconds: 80, others: shares.shift() ?? 0 });
    const rounds: number[] = [];
    const results = await measure([first.case, second.case], {
      rounds: 2,
      repeats: 3,
      sampleMilliseconds: 40,
      tolerance: 0.1,
      clock,
      onRound: (_round, cases) => rounds.push(cases),
    });
    expect(first.log).toEqual(['check', 'run 1', 'run 1', 'run 16', 'run 40', 'run 40', 'run 40']);
    // Only the first case lost a sample; one more round made up for it.
    expect(rounds).toEqual([2, 2, 1]);
    const calm = { milliseconds: 1, repetitions: 40, cpuMilliseconds: 2, others: 0 };
    expect(results.map(({ samples }) => samples)).toEqual([
      [{ ...calm, others: 0.5 }, calm, calm],
      [calm, calm],
    ]);
    expect(results.map(({ isDisturbed }) => isDisturbed)).toEqual([false, false]);
  });
});

test('a wrong result stops the bench before anything is timed', async () => {
  const wrong = { ...nothing, check: async () => Promise.reject(new RangeError('element 0,0 is 1, not 2')) };
  await expect(
    measure([wrong], { rounds: 1, repeats: 0, sampleMilliseconds: 1, tolerance: 0.1, clock: cpuClock }),
  ).rejects.toThrow('not 2');
});

test('a portable reference becomes a ratio, not a row', () => {
  const fast: Case = { ...nothing, name: 'NT', reference: 'NT portable', study: '37-40' };
  const slow: Case = { ...nothing, name: 'NT portable', isHidden: true };
  const rows = rowsOf([judge(fast, [sample(10, 0)], 1, 0.1), judge(slow, [sample(25, 0)], 1, 0.1)]);
  expect(rows).toEqual([
    {
      group: 'linear',
      name: 'NT',
      unit: 'GFLOP',
      amount: 3,
      milliseconds: { median: 10, low: 10, high: 10 },
      cpuMilliseconds: 20,
      rate: 300,
      study: '37-40',
      overPortable: 2.5,
      isDisturbed: false,
      samples: [sample(10, 0)],
    },
  ]);
});

test('busy time leaves out idle and waiting time', () => {
  expect(busySeconds(() => 'cpu  100 20 30 4000 500 6 7 8 9 10\ncpu0 1 1 1 1\n')).toBeCloseTo(1.71);
  expect(busySeconds(() => 'nonsense')).toBeUndefined();
  expect(
    busySeconds(() => {
      throw new Error('ENOENT');
    }),
  ).toBeUndefined();
});

test('kernels are added up by name, heaviest first', () => {
  const times = [
    { label: 'a', milliseconds: 1 },
    { label: 'b', milliseconds: 5 },
    { label: 'a', milliseconds: 2 },
  ];
  expect(byKernel(times, [], { bytesPerSecond: 1, operationsPerSecond: 1 })).toEqual([
    { kernel: 'b', launches: 1, milliseconds: 5, share: 5 / 8, least: 0 },
    { kernel: 'a', launches: 2, milliseconds: 3, share: 3 / 8, least: 0 },
  ]);
});

test('the table is Markdown and lines up', () => {
  expect(
    table(
      ['case', 'ms'],
      [
        ['2048 rows', '1.50'],
        ['x', '12.0'],
      ],
      ['case'],
    ),
  ).toBe(['| case      |   ms |', '| --------- | ---: |', '| 2048 rows | 1.50 |', '| x         | 12.0 |'].join('\n'));
});

test('the report says what it was measured on, and that it was disturbed', () => {
  const text = toMarkdown({
    environment: {
      date: '2020-01-01T00:00:00.000Z',
      adapter: 'some adapter',
      driver: 'some driver',
      features: ['subgroups'],
      subgroups: '8..8',
      kernels: 'broadcast tiles',
      cores: 2,
      shaderThreads: '2',
      polling: 'back-off',
      versions: { node: '20.19.0' },
      commit: 'abc+changes',
      load: 0.5,
      clock: 2.4,
    },
    settings: { rounds: 5, sampleMilliseconds: 120, tolerance: 0.1 },
    rows: rowsOf([judge(nothing, [sample(10, 0.6)], 5, 0.1)]),
    breakdowns: [
      {
        name: 'step',
        tokens: 100,
        launches: 10,
        wall: 50,
        timedWall: 60,
        stamped: 55,
        launchCost: 0.1,
        shareOutside: 0.1,
        tokensPerSecond: 2000,
        gigaflops: 3,
        kernels: [{ kernel: 'linear', launches: 10, milliseconds: 55, share: 1, least: 27 }],
        least: {
          launches: 10,
          bytes: 2e9,
          operations: 3e9,
          rates: { bytesPerSecond: 8e9, operationsPerSecond: 5e10 },
          here: 27,
          cards: { h100: 0.62, arc: 4.4 },
        },
      },
    ],
    seconds: 12,
  });
  expect(text).toContain('some adapter; subgroups');
  expect(text).toContain('commit abc+changes');
  expect(text).toMatch(
    /\| linear \| nothing \|\s+10\.0 \|\s+0 % \|\s+20\.0 \|\s+300 GFLOP\/s \|\s+\|\s+\|\s+60 % ! \|/,
  );
  expect(text).toContain('at most 10.0 % outside kernels = 1 - 54.0 / 60.0 ms');
  expect(text).toContain('more than 10 % of the cores');
  expect(text).toContain(
    'at least 27.0 ms in kernels here, of which they take 2.0 x: 2.00 GB at 8.0 GB/s of a copy, 3.0 GFLOP at 50',
  );
  expect(text).toContain('without what 10 launches cost: h100 0.620, arc 4.40 ms');
});

test('the rate of the processor is that of a chain of additions, whatever else runs', () => {
  const rates = Array.from({ length: 3 }, () => clockRate());
  // Between a tenth and ten additions a nanosecond on every processor that runs this.
  for (const rate of rates) expect(rate > 0.1 && rate < 10).toBe(true);
});
