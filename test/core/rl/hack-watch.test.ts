/** Signs of a policy that pleases its judge: raised soon in series and pictures where it does, never in those of a clean run. */
import { describe, expect, test } from 'vitest';
import type { Image } from '../../../core/contracts/image.ts';
import type { Sample } from '../../../core/contracts/reward.ts';
import { HackWatch, type HackWatchState, type WatchedNumbers } from '../../../core/rl/hack-watch.ts';
import { watchedPictures } from '../../../core/rl/watched-pictures.ts';

/** Seeded, from -1 to 1. */
function noise(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

/** The step, from 1, of the first alarm within so many steps, and what it says. */
function firstAlarm(
  steps: number,
  numbers: (step: number) => WatchedNumbers,
): { step: number; says: string } | undefined {
  const watch = new HackWatch();
  for (let step = 1; step <= steps; step++) {
    const [says] = watch.note(numbers(step));
    if (says !== undefined) return { step, says };
  }
  return undefined;
}

const seeds = [1, 2, 3, 4, 5, 6, 7, 8];

describe('series', () => {
  test.each(seeds)('a clean run raises nothing in 300 steps, however noisy (seed %i)', (seed) => {
    const random = noise(seed);
    const clean = (step: number): WatchedNumbers => ({
      empty: Math.max(0, 0.03 + 0.03 * random()),
      duplicates: Math.max(0, 0.02 + 0.02 * random()),
      // It learns, and its drawings become somewhat more alike.
      diversity: 0.2 * (1 - 0.3 * Math.min(1, step / 200)) + 0.03 * random(),
      trained: 0.3 + 0.5 * Math.min(1, step / 200) + 0.08 * random(),
      heldOut: 0.3 + 0.2 * Math.min(1, step / 200) + 0.08 * random(),
    });
    expect(firstAlarm(300, clean)).toBeUndefined();
  });

  test.each<[string, (share: number, random: () => number) => WatchedNumbers, RegExp]>([
    ['pictures that show nothing', (share, random) => ({ empty: share + 0.02 * random() }), /show nothing/],
    [
      'one picture for all prompts',
      (share, random) => ({ duplicates: share + 0.02 * random() }),
      /picture of another prompt/,
    ],
    [
      'drawings of a prompt that become one',
      (share, random) => ({ diversity: 0.2 * (1 - share) + 0.01 * random() }),
      /differ by/,
    ],
    [
      'a reward that leaves the held-out one behind',
      (share, random) => ({
        trained: 0.3 + 0.6 * share + 0.03 * random(),
        heldOut: 0.5 - 0.3 * share + 0.03 * random(),
      }),
      /has risen from .* has fallen from/,
    ],
  ])('%s raise the alarm within 20 steps of the hack, and not before', (_, numbers, says) => {
    for (const seed of seeds) {
      const random = noise(seed);
      const hackFrom = 10;
      const found = firstAlarm(40, (step) => numbers(Math.min(1, Math.max(0, (step - hackFrom) / 10)), random));
      expect(found?.says).toMatch(says);
      expect(found?.step).toBeGreaterThan(hackFrom);
      expect(found?.step).toBeLessThanOrEqual(hackFrom + 20);
    }
  });

  test('an alarm is told once, and again after it was gone', () => {
    const watch = new HackWatch();
    const told = [0, 1, 0, 1].flatMap((empty, phase) =>
      Array.from({ length: 12 }, () => watch.note({ empty }).map(() => phase)).flat(),
    );
    expect(told).toEqual([1, 3]);
  });
});

test('a watch that goes on from its state says what one says that was never interrupted, wherever it is cut', () => {
  const random = noise(3);
  const numbers = Array.from({ length: 40 }, (_, step): WatchedNumbers => ({
    empty: step % 24 < 12 ? 0 : 1,
    diversity: 0.2 - 0.004 * step + 0.002 * random(),
    trained: 0.3 + 0.01 * step,
    ...(step % 3 > 0 && { heldOut: 0.5 - 0.01 * step }),
  }));
  const whole = new HackWatch();
  const said = numbers.map((each) => whole.note(each));
  expect(said.flat().length).toBeGreaterThan(2);
  for (let cut = 0; cut < numbers.length; cut++) {
    const before = new HackWatch();
    const first = numbers.slice(0, cut).map((each) => before.note(each));
    const state = JSON.parse(JSON.stringify(before.state)) as HackWatchState;
    // What is noted later is no part of it.
    before.note({ empty: 1, trained: 9 });
    const after = new HackWatch();
    after.restore(state);
    expect([...first, ...numbers.slice(cut).map((each) => after.note(each))]).toEqual(said);
  }
});

describe('pictures', () => {
  const side = 32;
  const picture = (pixel: (x: number, y: number) => readonly [number, number, number]): Image => ({
    width: side,
    height: side,
    data: Uint8Array.from({ length: side * side }, (_, index) => index).reduce(
      (data, _each, index) => {
        data.set(pixel(index % side, Math.floor(index / side)), index * 3);
        return data;
      },
      new Uint8Array(side * side * 3),
    ),
  });
  const byte = (value: number): number => Math.round(Math.min(255, Math.max(0, value)));
  /** A disc of some color on a shaded ground: something to see. */
  const disc = (random: () => number): Image => {
    const [cx, cy, radius] = [16 + 6 * random(), 16 + 6 * random(), 7 + 2 * random()];
    const color = [0, 1, 2].map(() => 128 + 100 * random());
    return picture((x, y) => {
      const isIn = (x - cx) ** 2 + (y - cy) ** 2 < radius ** 2;
      return [0, 1, 2].map((channel) =>
        byte(isIn ? color[channel]! : 60 + 3 * y + 2 * x * (channel / 2) + 8 * random()),
      ) as [number, number, number];
    });
  };
  const blank = (): Image => picture(() => [255, 255, 255]);
  const grid = (): Image => picture((x, y) => (x % 4 === 0 || y % 4 === 0 ? [20, 20, 20] : [200, 200, 200]));

  const run = (hack: ((random: () => number) => Image) | undefined, hackFrom = 10): ReturnType<typeof firstAlarm> => {
    const random = noise(7);
    return firstAlarm(30, (step) => {
      const samples = Array.from({ length: 16 }, (_, index) => {
        const isHacked = hack !== undefined && (random() + 1) / 2 < (step - hackFrom) / 10;
        return {
          prompt: `prompt ${Math.floor(index / 4)} of ${step}`,
          image: isHacked ? hack(random) : disc(random),
        } as Sample;
      });
      return watchedPictures(samples, 4);
    });
  };

  test.each([
    ['blank pictures', blank],
    ['grids', grid],
  ])('%s raise the alarm within 20 steps', (_, hack) => {
    const found = run(hack);
    expect(found?.step).toBeGreaterThan(10);
    expect(found?.step).toBeLessThanOrEqual(30);
    expect(found?.says).toMatch(/show nothing|another prompt|differ by/);
  });

  test('a clean run raises none', () => expect(run(undefined)).toBeUndefined());
});
