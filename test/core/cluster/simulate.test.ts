/** The simulated schedule: what can be said of it with a pencil, and what was measured of runs. */
import { describe, expect, test } from 'vitest';
import type { DeviceSplit } from '../../../core/cluster/simulate.ts';
import { simulate } from '../../../core/cluster/simulate.ts';
import { predict } from '../../../core/cluster/split.ts';
import { clusterOf, failuresOf, workload } from './clusters.ts';

const split = (trainers: number, workers: number, judges = 0): DeviceSplit => ({ trainers, workers, judges });

describe('by hand', () => {
  test('a device by itself does one thing after the other', () => {
    const cluster = clusterOf({ job: 1, drawing: 2, decoding: 0.5, training: 3, update: 0.25 });
    const { seconds, parts, idle } = simulate(workload(), cluster, split(1, 0));
    // Four jobs of 1 + 2 + 0.5 s, then four drawings of 3 s and an update.
    expect(seconds).toBeCloseTo(14 + 12.25, 9);
    expect(parts).toMatchObject({ drawing: 14, training: 12.25, weights: 0, gradients: 0 });
    expect(idle).toEqual({ trainers: expect.closeTo(0, 9) as number });
  });

  test('workers share the jobs, and the trainer decodes in the order of the prompts', () => {
    const cluster = clusterOf({ job: 3, decoding: 1 });
    // Two at a time at 3 s and 6 s; the last is decoded behind the third.
    expect(simulate(workload(), cluster, split(1, 2)).seconds).toBeCloseTo(8, 9);
    expect(simulate(workload(), cluster, split(1, 4)).seconds).toBeCloseTo(3 + 4, 9);
    // More workers than jobs.
    const many = simulate(workload(), cluster, split(1, 8));
    expect(many.seconds).toBeCloseTo(7, 9);
    expect(many.idle.workers).toBeCloseTo(1 - (4 * 3) / (8 * 7), 9);
  });

  test('drawings are judged while others are drawn, so many at a time', () => {
    const quick = clusterOf({ job: 2, call: 2 });
    // Judged from 2 s on, one behind the other as they come: 2 s behind the last.
    expect(simulate(workload(), quick, split(1, 1)).parts).toMatchObject({ drawing: 8, judging: 2 });
    const slow = clusterOf({ job: 1, call: 3 });
    expect(simulate(workload(), slow, split(1, 1)).seconds).toBeCloseTo(1 + 4 * 3, 9);
    expect(simulate(workload(), { ...slow, callsAtOnce: 2 }, split(1, 1)).seconds).toBeCloseTo(1 + 3 + 3 + 1, 9);
  });

  test('weights go out once a step and are fetched once by each worker, in pieces through the queue', () => {
    const bytes = 3 * 2 ** 20;
    const cluster = clusterOf({ job: 1 }, { roundTrip: 0.01, publish: bytes, fetch: bytes });
    const work = workload({ jobs: [1], tensors: [bytes] });
    // Two round trips for the list, two for pieces and what says that they are there: four either way; one more before, three at and one behind the job.
    expect(simulate(work, cluster, split(1, 1)).parts.weights).toBeCloseTo(2 * (1 + 0.04), 9);
    expect(simulate(work, cluster, split(1, 1)).seconds).toBeCloseTo(2 * 1.04 + 1 + 0.04, 9);
    const folder = simulate({ ...work, isThroughQueue: false }, cluster, split(1, 1));
    expect(folder.parts.weights).toBeCloseTo(2 * (1 + 0.02), 9);
    // Four who fetch at the same time share what the queue gives.
    const shared = clusterOf({ job: 1 }, { fetch: bytes, fetchTogether: bytes });
    expect(simulate(workload({ tensors: [bytes] }), shared, split(1, 4)).parts.weights).toBeCloseTo(4, 9);
  });

  test('ranks share drawings and update, and sum their gradients in a ring', () => {
    const cluster = clusterOf({ training: 1, update: 2 }, { gradients: 100, gradientLatency: 0.1 });
    const work = workload({ jobs: [], tensors: [1000], updates: [8, 8] });
    expect(simulate(work, cluster, split(1, 0)).parts).toMatchObject({ training: 20, gradients: 0 });
    const { parts } = simulate(work, cluster, split(4, 0));
    // Six messages of a quarter of the bytes, twice.
    expect(parts.training).toBeCloseTo(2 * (2 + 0.5), 9);
    expect(parts.gradients).toBeCloseTo(2 * 6 * (0.1 + 2.5), 9);
  });

  test('with staleness the next step is drawn while this one trains, for a forward pass more', () => {
    const cluster = clusterOf({ job: 4, training: 3 });
    const apart = simulate(workload(), cluster, split(1, 2));
    expect(apart.seconds).toBeCloseTo(8 + 12, 9);
    const ahead = simulate(workload({ isAhead: true }), cluster, split(1, 2));
    // 12 s of training become 16, and 8 s of drawing disappear in them.
    expect(ahead.seconds).toBeCloseTo(16, 9);
    expect(ahead.parts.drawing).toBeCloseTo(0, 9);
  });

  test('one job in so many is drawn again by the trainer', () => {
    const cluster = clusterOf({ job: 1 });
    expect(simulate(workload({ spotCheck: 1 }), cluster, split(1, 4)).seconds).toBeCloseTo(1 + 4, 9);
    expect(simulate(workload({ spotCheck: 4 }), cluster, split(1, 4)).seconds).toBeCloseTo(1 + 1, 9);
  });

  test('rounds may be a fraction on average', () => {
    const cluster = { ...clusterOf({ job: 1 }), rounds: { value: 1.5, assumed: 'by the test' } };
    expect(simulate(workload(), cluster, split(1, 1)).seconds).toBeCloseTo(6, 9);
  });

  test('a worker that fails costs the time of its lock and of its job, a trainer the steps since it saved', () => {
    const cluster = { ...clusterOf({ job: 10, training: 10 }), failures: failuresOf(3, 100) };
    const long = { steps: 4000 };
    const saved = workload({ stepsBetweenSaves: 1 });
    const workers = simulate(saved, cluster, split(1, 4), long);
    expect(simulate(saved, clusterOf({ job: 10, training: 10 }), split(1, 4)).seconds).toBeCloseTo(50, 9);
    // A failure in a job of 10 s, one in 30 steps of four jobs (3 an hour, 40 s of work in a step), costs half a job and the lock.
    const quick = simulate(saved, { ...cluster, failures: failuresOf(3, 0) }, split(1, 4), long);
    expect((quick.parts.drawing - 10) / ((30 + 5) / 30)).toBeCloseTo(1, 0.5);
    // One that stays away leaves four jobs to three workers, too.
    expect(workers.parts.drawing).toBeGreaterThan(quick.parts.drawing + 1);
    // With a checkpoint behind every step a failure costs half the step and the restart; with ten steps between them, five.
    const perStep = (80 * 3) / 3600;
    const alone = simulate(saved, cluster, split(1, 0), long);
    expect(alone.parts.failures / (perStep * (100 + 40))).toBeCloseTo(1, 0.5);
    const rarely = simulate(workload({ stepsBetweenSaves: 10 }), cluster, split(1, 0), long);
    expect(rarely.parts.failures / (perStep * (100 + 5 * 80))).toBeCloseTo(1, 0.5);
    // The same again, for the same seed.
    expect(simulate(saved, cluster, split(1, 4), long)).toEqual(workers);
    expect(simulate(saved, cluster, split(1, 4), { ...long, seed: 2 })).not.toEqual(workers);
  });
});

describe('the best split', () => {
  test('gives each kind of work what it needs', () => {
    // Drawing takes three times as long as training: of eight devices about six draw.
    const work = workload({ jobs: new Array<number>(240).fill(1), updates: [240] });
    const found = predict(work, clusterOf({ job: 3, training: 1 }), 8);
    const all = Array.from(
      { length: 8 },
      (_, index) => simulate(work, clusterOf({ job: 3, training: 1 }), split(index + 1, 7 - index)).seconds,
    );
    expect(found?.seconds).toBeCloseTo(Math.min(...all), 6);
    const judged = predict(work, clusterOf({ job: 3, call: 3 }, {}, { judges: 'best', trainers: 1 }), 9);
    expect(judged?.split).toEqual(split(1, 4, 4));
  });

  test('takes what the file says, and nothing where that cannot be', () => {
    const six = workload({ jobs: [1, 1, 1, 1, 1, 1] });
    expect(predict(six, clusterOf({ job: 1 }, {}, { trainers: 2 }), 5)?.split).toEqual(split(2, 3));
    expect(predict(workload(), clusterOf({ job: 1 }, {}, { trainers: 2 }), 1)).toBeUndefined();
    expect(predict(workload({ jobs: [] }), clusterOf({ training: 1 }), 4)?.split).toEqual(split(4, 0));
  });
});

/** Figures of test/bench/LOG.md: what a run had, and what its steps took. */
describe('measured', () => {
  test('the quickstart on an H200, one process: 0.74 s a step', () => {
    // 16 prompts of 8 drawings: drawing 0.14 s, judging 0.50 s behind it, training 0.09 s.
    const cluster = clusterOf({ job: 0.14, call: 0.5 / 128, training: 0.09 / 128 });
    const { seconds } = simulate(workload({ jobs: [128], updates: [128] }), cluster, split(1, 0));
    expect(Math.abs(seconds / 0.74 - 1)).toBeLessThan(0.02);
  });

  test('judging overlaps drawing: of 8 s of a judge 2 s are waited for', () => {
    // Four shares of 32 drawings in 3.7 s to 5.8 s, and a reward that takes 2 s for a share, all its drawings at a time.
    for (const drawing of [3.7, 5.8]) {
      const cluster = clusterOf({ job: drawing / 4, call: 2 }, {}, { callsAtOnce: 128 });
      const { parts } = simulate(workload({ jobs: [32, 32, 32, 32] }), cluster, split(1, 0));
      expect(parts.drawing).toBeCloseTo(drawing, 6);
      expect(parts.judging).toBeCloseTo(2, 6);
    }
  });

  test('the nano world with workers, a quarter of a core for each process', () => {
    // `npm run bench:workers -- 3 4 0.25`: figures of the run alone, and seconds of a step with none, one, two and three workers.
    const cluster = clusterOf(
      { job: 4.1955, decoding: 0.16307, call: 1.12 / 48, training: 0.30672 },
      { roundTrip: 0.0005, publish: 1.3e8, fetch: 1.25e8, fetchTogether: 2.5e8 },
      { judgedTogether: true },
    );
    const work = workload({ jobs: [8, 8, 8, 8, 8, 8], updates: [24, 24], tensors: new Array<number>(60).fill(90_000) });
    for (const [workers, seconds] of [48.84, 44.95, 29.84, 27.41].entries())
      expect(Math.abs(simulate(work, cluster, split(1, workers)).seconds / seconds - 1), `${workers}`).toBeLessThan(
        0.08,
      );
  });
});
