/** How a judge that takes two seconds a call is asked while groups are drawn, on a clock of the test's own: what is measured is the order of things, on any machine. */
import { setMaxListeners } from 'node:events';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { RunContext } from '../../../../core/contracts/recipe.ts';
import type { Sample } from '../../../../core/contracts/reward.ts';
import type { Drawer, Drawing } from '../../../../core/drawing/drawer.ts';
import { Turns } from '../../../../core/judging/turns.ts';
import { silentLog } from '../../../../core/log.ts';
import { single } from '../../../../core/ranks/single.ts';
import { drawShares, JudgeClock } from '../../../../core/recipes/grpo/rollout.ts';
import { pointwise } from '../../../../core/rl/reward-shapes.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const [prompts, groupSize, secondsPerCall] = [16, 8, 2];
const { signal } = new AbortController();
setMaxListeners(0, signal);
const now = (): number => performance.now() / 1000;
const pause = (seconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

interface Case {
  readonly promptsAtOnce: number;
  /** Seconds that each of the workers takes for a prompt. */
  readonly workers: readonly number[];
  /** Calls that the judge takes at a time. */
  readonly calls: number;
}

/** Seconds until everything is drawn, of judging alone, and until every drawing has its reward. */
async function rollout({ promptsAtOnce, workers, calls }: Case) {
  const [turns, free] = [new Turns(workers.length), [...workers]];
  let drawn = 0;
  const drawer: Pick<Drawer, 'prompts' | 'draw' | 'atOnce'> = {
    prompts: promptsAtOnce,
    atOnce: workers.length === 1 ? 1 : 256,
    draw: async (...[items, _seed, _purpose, first = 0]: Parameters<Drawer['draw']>) => {
      const giveBack = await turns.take(signal);
      const secondsPerPrompt = free.shift() ?? Number.NaN;
      await pause(items.length * secondsPerPrompt);
      free.push(secondsPerPrompt);
      giveBack();
      drawn = now();
      return items.flatMap((item, index) =>
        Array.from({ length: groupSize }, (_, copy) => {
          const sample = { ...item, id: `${first + index}.${copy}`, group: first + index, copy };
          return { sample: sample as Sample } as Drawing;
        }),
      );
    },
  };
  const judge = new Turns(calls);
  const reward = pointwise({
    score: async ({ id }) => {
      const giveBack = await judge.take(signal);
      await pause(secondsPerCall);
      giveBack();
      return Number(id);
    },
  });
  const rewards = [{ name: 'slow', weight: 1, reward }];
  const context = {
    ...{ rewards, judges: [], benchmarks: [], communicator: single },
    ...{ signal, log: silentLog() },
  } as unknown as RunContext;
  const items = Array.from({ length: prompts }, (_, index) => ({ prompt: `${index}`, task: 't', specification: {} }));
  const purpose = { label: 'step-1', step: 1, phase: 'train' } as const;
  const started = now();
  const judging = new JudgeClock().judged(context, 1, async (scoring) => ({
    drawings: await drawShares(drawer, items, 7, purpose, scoring),
  }));
  let ended = Number.NaN;
  const told = judging.then(({ judged }) => {
    ended = now();
    return judged;
  });
  await vi.runAllTimersAsync();
  const totals = (await told).map(({ total }) => total);
  // Whatever was done first, each has its own.
  expect(totals).toEqual(
    items.flatMap((_, group) => Array.from({ length: groupSize }, (_each, copy) => group + copy / 10)),
  );
  return {
    drawing: drawn - started,
    judging: (prompts * groupSize * secondsPerCall) / calls,
    whole: ended - started,
  };
}

const ratioOf = ({ drawing, judging, whole }: Awaited<ReturnType<typeof rollout>>): number =>
  whole / Math.max(drawing, judging);

test.each([
  ['drawing takes as long as judging', { promptsAtOnce: 2, workers: [2], calls: 8 }, [32, 32, 36]],
  ['drawing takes twice as long', { promptsAtOnce: 2, workers: [4], calls: 8 }, [64, 32, 68]],
  ['judging takes twice as long', { promptsAtOnce: 2, workers: [1], calls: 8 }, [16, 32, 34]],
  ['three workers as fast as the judge', { promptsAtOnce: 1, workers: [6, 6, 6], calls: 8 }, [36, 32, 38]],
  ['one worker of three is five times slower', { promptsAtOnce: 1, workers: [2, 2, 10], calls: 8 }, [20, 32, 34]],
  ['one of three is slower still', { promptsAtOnce: 1, workers: [2, 2, 20], calls: 16 }, [20, 16, 22]],
] as const)('%s: a rollout takes at most 1.15 times as long as the longer of both', async (_, choice, expected) => {
  const found = await rollout(choice);
  const [drawing, judging, whole] = expected;
  expect(Object.values(found).map((seconds) => Number(seconds.toFixed(3)))).toEqual([drawing, judging, whole]);
  expect(ratioOf(found)).toBeLessThanOrEqual(1.15);
});

test('what no order of things can save is the judging of the last share: with equal times it takes seven shares, and a call must be short beside the whole', async () => {
  const equal = (promptsAtOnce: number): Promise<Awaited<ReturnType<typeof rollout>>> =>
    rollout({ promptsAtOnce, workers: [2], calls: 8 });
  expect(ratioOf(await equal(16))).toBeCloseTo(2);
  expect(ratioOf(await equal(4))).toBeCloseTo(1 + 1 / 4);
  expect(ratioOf(await equal(2))).toBeCloseTo(1 + 1 / 8);
  expect(ratioOf(await equal(1))).toBeCloseTo(1 + 1 / 16);
  // Everybody is asked at once, and the last answer comes two seconds behind the last drawing.
  const { drawing, whole } = await rollout({ promptsAtOnce: 1, workers: [0.5], calls: 128 });
  expect(whole).toBe(drawing + secondsPerCall);
});
