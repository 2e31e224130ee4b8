/** Judging begins with the first share of a rollout, while the rest is still being drawn. */
import { expect, test } from 'vitest';
import type { RunContext } from '../../../../core/contracts/recipe.ts';
import type { Sample } from '../../../../core/contracts/reward.ts';
import type { Drawing } from '../../../../core/drawing/drawer.ts';
import { silentLog } from '../../../../core/log.ts';
import { single } from '../../../../core/ranks/single.ts';
import { drawShares, JudgeClock } from '../../../../core/recipes/grpo/rollout.ts';
import { groupwise, pointwise } from '../../../../core/rl/reward-shapes.ts';

const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Draws four prompts two at a time, two drawings each, by a slow drawer and a slow judge. */
async function step(drawing: number, judging: number, oneByOne = false) {
  const events: string[] = [];
  const drawer = {
    prompts: 1,
    draw: async (items: readonly { readonly prompt: string }[], _seed: number, _purpose: unknown, first = 0) => {
      events.push(`draw ${first}`);
      await pause(drawing);
      events.push(`drawn ${first}`);
      return items.flatMap(({ prompt }, index) =>
        [0, 1].map((copy) => {
          const sample = { id: `${first + index}-${copy}`, group: first + index, copy, prompt } as Sample;
          return { sample } as Drawing;
        }),
      );
    },
  };
  let last: Promise<void> = Promise.resolve();
  const slow = pointwise({
    score: async ({ id, group }) => {
      events.push(`asked ${group}`);
      last = oneByOne ? last.then(() => pause(judging)) : pause(judging);
      await last;
      return Number(id.replace('-', '.'));
    },
  });
  const alike = groupwise({ score: (group) => group.map(({ group: number }) => group.length * 10 + number) });
  const rewards = [
    { name: 'slow', weight: 1, reward: slow },
    { name: 'groups', weight: 1, reward: alike },
    { name: 'all', weight: 1, reward: { score: (all: readonly Sample[]) => all.map(() => all.length * 1000) } },
  ];
  const lookers = { rewards, judges: [], benchmarks: [], communicator: single };
  const context = { ...lookers, signal: new AbortController().signal, log: silentLog() } as unknown as RunContext;
  const items = ['a', 'b', 'c', 'd'].map((prompt) => ({ prompt, task: 't', specification: {} }));
  const clock = new JudgeClock();
  const purpose = { label: 'step-1', step: 1, phase: 'train' } as const;
  const { judged } = await clock.judged(context, 1, async (scoring) => ({
    drawings: await drawShares(drawer as never, items, 7, purpose, scoring),
  }));
  return { events, clock, totals: judged.map(({ total }) => total) };
}

test('a share is judged while the next is drawn; groups are whole, the batch is whole, and no number depends on who is slow', async () => {
  const slowJudge = await step(20, 60);
  const { events, clock, totals } = slowJudge;
  expect(events.indexOf('asked 0')).toBeLessThan(events.indexOf('drawn 1'));
  expect(events.indexOf('asked 2')).toBeLessThan(events.indexOf('drawn 3'));
  // Of the time that judges took, the part that nothing was drawn in.
  expect(clock.secondsWaiting).toBeGreaterThan(0);
  expect(clock.secondsWaiting).toBeLessThan(clock.seconds);
  expect(clock.efforts[0]?.map(({ name }) => name)).toEqual(['slow', 'groups', 'all']);
  expect(totals).toEqual([0, 1, 2, 3].flatMap((group) => [8020 + 2 * group, 8020 + 2 * group + 0.1]));
  expect((await step(1, 1)).totals).toEqual(totals);
  expect((await step(30, 0)).totals).toEqual(totals);
});

test('a judge as slow as the drawing costs a share of its time, not all of it', async () => {
  // Eight drawings judged one after the other, in the time that four shares take to be drawn: only the last share is waited for.
  const { clock } = await step(160, 80, true);
  expect(clock.seconds).toBeGreaterThan(0.6);
  expect(clock.secondsWaiting).toBeLessThan(0.6 * clock.seconds);
});
