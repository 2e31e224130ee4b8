import { describe, expect, test } from 'vitest';
import type { Extension, StepEvent } from '../../core/contracts/hooks.ts';
import { ReasongenError } from '../../core/errors.ts';
import { createHooks } from '../../core/hooks.ts';

const step: StepEvent = { step: 3, metrics: { loss: 1 } };
const one = (extension: Extension, name = 'mine') => createHooks([{ name, extension }]);

describe('order', () => {
  test('early, normal, late, each in the order of the preset; one after the other', async () => {
    const seen: string[] = [];
    const note = (name: string, milliseconds: number) => async (): Promise<void> => {
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
      seen.push(name);
    };
    const hooks = createHooks([
      { name: 'a', extension: { step: { order: 'late', handler: note('a late', 0) } } },
      { name: 'b', extension: { step: note('b', 10) } },
      { name: 'c', extension: { step: note('c', 0) } },
      { name: 'd', extension: { step: { order: 'early', handler: note('d early', 5) } } },
    ]);
    await hooks.step(step);
    expect(seen).toEqual(['d early', 'b', 'c', 'a late']);
  });

  test('firing an untapped hook gives the event back', async () => {
    const hooks = createHooks([]);
    const batch = { step: 1, items: [] };
    expect(await hooks.batch(batch)).toBe(batch);
    await expect(hooks.step(step)).resolves.toBeUndefined();
  });
});

describe('waterfalls', () => {
  test('a handler may replace the event, and undefined keeps it', async () => {
    const item = { prompt: 'a', task: 't', specification: {} };
    const hooks = createHooks([
      { name: 'replace', extension: { batch: (event) => ({ ...event, items: [...event.items, item] }) } },
      { name: 'keep', extension: { batch: async () => undefined } },
      { name: 'again', extension: { batch: async (event) => ({ ...event, items: [...event.items, item] }) } },
    ]);
    expect((await hooks.batch({ step: 1, items: [] })).items).toEqual([item, item]);
  });

  test('advantages is synchronous', () => {
    const event = { step: 1, groupSize: 1, samples: [], judgements: [], advantages: [1, -1], drawn: [] };
    const hooks = one({
      advantages: (before) => ({ ...before, advantages: before.advantages.map((value) => 2 * value) }),
    });
    expect(hooks.advantages(event).advantages).toEqual([2, -2]);
  });

  test('a synchronous hook refuses a promise', () => {
    // The types refuse it as well; an author may write JavaScript.
    const extension = { advantages: async () => undefined } as unknown as Extension;
    expect(() =>
      one(extension).advantages({ step: 1, groupSize: 1, samples: [], judgements: [], advantages: [], drawn: [] }),
    ).toThrow(/this hook is synchronous/);
  });
});

describe('errors', () => {
  test.each([
    [
      'thrown',
      () => {
        throw new Error('out of paint');
      },
    ],
    ['rejected', () => Promise.reject(new Error('out of paint'))],
  ])('%s: names extension and hook and keeps the cause', async (_, handler) => {
    const error: unknown = await one({ step: handler }, 'painter')
      .step(step)
      .catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(ReasongenError);
    expect(error).toMatchObject({
      code: 'HOOK_FAILED',
      message: 'out of paint',
      place: 'extension "painter", hook "step"',
      cause: { message: 'out of paint' },
      exitCode: 1,
    });
  });

  test('a guard keeps its exit code', async () => {
    const guard = new ReasongenError({ code: 'GUARD', message: 'too long', exitCode: 7, hint: 'shorten it' });
    const failing = one({
      step: () => {
        throw guard;
      },
    }).step(step);
    await expect(failing).rejects.toMatchObject({ exitCode: 7, hint: 'shorten it' });
  });

  test('a hook that does not exist is refused by name', () => {
    const extension = { stepp: () => {} } as unknown as Extension;
    expect(() => one(extension)).toThrow(/there is no hook "stepp"/);
  });

  test('a handler that has not settled is known by name until it has', async () => {
    let finish = (): void => {};
    const hooks = one(
      {
        step: () =>
          new Promise<void>((resolve) => {
            finish = resolve;
          }),
      },
      'slow',
    );
    const fired = hooks.step(step);
    expect(hooks.pending()).toEqual(['extension "slow", hook "step"']);
    finish();
    await fired;
    expect(hooks.pending()).toEqual([]);
  });
});
