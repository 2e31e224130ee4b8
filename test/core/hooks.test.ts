import { describe, expect, test } from 'vitest';
import type { Sample } from '../../core/contracts/reward.ts';
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

const sample = (id: string): Sample => ({
  id,
  group: 0,
  copy: Number(id),
  step: 1,
  phase: 'train',
  prompt: 'a',
  task: 't',
  specification: { wanted: ['cat'] },
  rationale: '',
  rationaleEnded: true,
  image: { width: 1, height: 1, data: new Uint8Array([1, 2, 3]) },
  codes: [4, 5],
});
const judged = {
  step: 1,
  groupSize: 2,
  samples: [sample('0'), sample('1')],
  judgements: [
    { total: 1, scores: { one: { value: 1 } } },
    { total: 0, scores: { one: { value: 0 } } },
  ],
};
const tokens = { rationaleIds: [], codes: [4, 5], logProbability: new Float32Array([-1, -2]), entropy: [1, 1] };

describe('waterfalls', () => {
  test('a handler may replace the event, and undefined keeps it', async () => {
    const item = { prompt: 'a', task: 't', specification: {} };
    const longer = (items: readonly { readonly prompt: string }[]): (typeof item)[] =>
      items.map(({ prompt }) => ({ ...item, prompt: `${prompt}!` }));
    const hooks = createHooks([
      { name: 'replace', extension: { batch: (event) => ({ ...event, items: longer(event.items) }) } },
      { name: 'keep', extension: { batch: async () => undefined } },
      { name: 'again', extension: { batch: async (event) => ({ ...event, items: longer(event.items) }) } },
    ]);
    expect((await hooks.batch({ step: 1, items: [item, item] })).items).toEqual([
      { ...item, prompt: 'a!!' },
      { ...item, prompt: 'a!!' },
    ]);
  });

  test('advantages is synchronous', () => {
    const event = { ...judged, advantages: [1, -1], drawn: [tokens, tokens] };
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
      place: expect.stringMatching(
        /^extension "painter", hook "step" \(test\/core\/hooks\.test\.ts:\d+:\d+\)$/,
      ) as string,
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

  test.each([5, null, 'step', [], {}, { handler: 5 }, { handler: () => {} }, { order: 'soon', handler: () => {} }])(
    'what is no handler is refused: %j',
    (entry) => {
      expect(() => one({ step: entry } as unknown as Extension)).toThrow(/its hook "step" is neither a function nor/);
    },
  );

  test('a hook that is left out, or undefined, is none', () => {
    expect(() => one({ step: undefined } as unknown as Extension)).not.toThrow();
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

describe('what handlers hand back is checked, and the extension named', () => {
  const advantaged = { ...judged, advantages: [1, -1], drawn: [tokens, tokens] };
  const items = [
    { prompt: 'a', task: 't', specification: {} },
    { prompt: 'b', task: 't', specification: {} },
  ];
  const weights = (first: unknown): Extension => ({
    advantages: (event) => ({ ...event, tokenWeights: [first, [1, 1]] as never }),
  });

  test.each<[string, Extension, RegExp]>([
    ['fewer items', { batch: (event) => ({ ...event, items: event.items.slice(1) }) }, /1 items for 2 items/],
    ['no items', { batch: (event) => ({ ...event, items: [] }) }, /0 items for 2 items/],
    [
      'an item without prompt',
      { batch: (event) => ({ ...event, items: [{}, {}] as never }) },
      /item 0 has no `prompt`/,
    ],
    ['items that are no list', { batch: (event) => ({ ...event, items: 'all' as never }) }, /no list of items/],
    ['no event', { batch: () => 7 as never }, /handed back 7 and no event/],
    [
      'fewer judgements',
      { rewards: (event) => ({ ...event, judgements: event.judgements.slice(1) }) },
      /1 judgements for 2/,
    ],
    [
      'a total of NaN',
      { rewards: (event) => ({ ...event, judgements: event.judgements.map((each) => ({ ...each, total: NaN })) }) },
      /total of judgement 0 is NaN/,
    ],
    [
      'a score of Infinity',
      {
        rewards: (event) => ({
          ...event,
          judgements: event.judgements.map(() => ({ total: 1, scores: { one: { value: Infinity } } })),
        }),
      },
      /score "one" of judgement 0 is Infinity/,
    ],
    ['one advantage', { advantages: (event) => ({ ...event, advantages: [1] }) }, /1 advantages for 2 samples/],
    ['advantages of NaN', { advantages: (event) => ({ ...event, advantages: [0, NaN] }) }, /advantage 1 is NaN/],
    ['too few token weights', weights([1]), /1 token weights for drawing 0, which has 2 tokens/],
    ['a negative token weight', weights([1, -1]), /negative or not finite/],
    ['token weights that are no list', weights('all'), /token weights for drawing 0/],
  ])('%s', async (_, extension, message) => {
    const hooks = one(extension, 'cutter');
    const fire = async (): Promise<unknown> => {
      await hooks.batch({ step: 1, items });
      await hooks.rewards(judged);
      return hooks.advantages(advantaged);
    };
    await expect(fire()).rejects.toMatchObject({
      code: expect.stringMatching(/^BAD_(HOOK_RESULT|TOKEN_WEIGHTS)$/) as string,
      message: expect.stringMatching(message) as string,
      place: expect.stringMatching(/^extension "cutter", hook "/) as string,
    });
  });

  test('only the fields of the hook are taken over: samples stay those that were drawn', async () => {
    const swaps: Extension = { rewards: (event) => ({ ...event, samples: event.samples.toReversed() }) };
    expect((await one(swaps).rewards(judged)).samples).toBe(judged.samples);
  });
});

describe('handlers are handed copies that cannot be changed', () => {
  test.each<[string, (samples: readonly Sample[]) => unknown]>([
    ['sorted', (samples) => (samples as Sample[]).reverse()],
    ['cut', (samples) => (samples as Sample[]).pop()],
    ['written to', (samples) => Object.assign(samples[0] as object, { prompt: 'b' })],
    [
      'written to inside',
      (samples) => (samples[0]?.specification as { wanted: string[] } | undefined)?.wanted.fill('dog'),
    ],
    ['extended', (samples) => Object.assign(samples[0] as object, { more: 1 })],
  ])('%s: refused, and said so', async (_, change) => {
    const extension: Extension = { rollout: ({ samples }) => void change(samples) };
    await expect(one(extension).rollout(judged)).rejects.toMatchObject({
      code: 'HOOK_FAILED',
      hint: expect.stringMatching(/cannot be changed: copy it first/) as string,
    });
  });

  test('bytes of a picture belong to the handler alone', async () => {
    const extension: Extension = { rollout: ({ samples }) => void samples[0]?.image.data.fill(9) };
    await one(extension).rollout(judged);
    expect(judged.samples[0]?.image.data).toEqual(new Uint8Array([1, 2, 3]));
  });
});

test('an extension that only looks may fail where the preset says so; one that replaces values may not', async () => {
  const said: string[] = [];
  const broken: Extension = {
    step: () => Promise.reject(new Error('out of paint')),
    rewards: () => Promise.reject(new Error('out of brushes')),
  };
  const hooks = createHooks([{ name: 'painter', extension: broken, onError: 'warn' }], (text) => said.push(text));
  await hooks.step(step);
  expect(said).toEqual([expect.stringMatching(/^extension "painter", hook "step".* failed, .*out of paint$/)]);
  await expect(hooks.rewards(judged)).rejects.toMatchObject({ code: 'HOOK_FAILED', message: 'out of brushes' });
});
