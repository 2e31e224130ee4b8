import { describe, expect, test } from 'vitest';
import { createContainer, type RunContainer } from '../../core/container.ts';
import type { Preset } from '../../core/contracts/preset.ts';
import type { Component, Scope, Slot } from '../../core/contracts/slots.ts';
import type { Device } from '../../core/gpu/device.ts';
import { silentLog } from '../../core/log.ts';
import { z } from '../../core/plugin.ts';

/** A component that creates whatever `create` says; the container does not look inside. */
function component(slot: Slot, name: string, create: (scope: Scope) => unknown): Component {
  return {
    slot,
    name,
    summary: '',
    options: z.strictObject({}),
    needs: [],
    create: (_, scope) => create(scope) as ReturnType<Component['create']>,
  };
}

function open(components: readonly Component[], openDevice?: () => Promise<Device>): RunContainer {
  return opener(components, openDevice)();
}

/** Opens runs of one container. */
function opener(components: readonly Component[], openDevice?: () => Promise<Device>): () => RunContainer {
  const list = components.map(({ slot, name }) => ({ slot, use: name, name, weight: 1, options: {} }));
  const preset: Preset = {
    name: 'test',
    seed: 5,
    file: '/presets/test.yaml',
    plugins: [],
    components: Object.fromEntries(list.map(({ slot }) => [slot, list.filter((choice) => choice.slot === slot)])),
  };
  const container = createContainer([{ name: 'one', provides: components }]);
  return () =>
    container.openRun({
      preset,
      log: silentLog(),
      openDevice: openDevice ?? (() => Promise.reject(new Error('no device here'))),
      path: (relative) => `/presets/${relative}`,
    });
}

describe('components', () => {
  test('are created once, on first use, also when two ask at the same time', async () => {
    let created = 0;
    const run = open([
      component('dataset', 'd', async () => {
        created++;
        await Promise.resolve();
        return { created };
      }),
      component('reward', 'r', async (scope) => ({ dataset: await scope.get('dataset') })),
    ]);
    expect(created).toBe(0);
    const [first, second, [reward]] = await Promise.all([run.get('dataset'), run.get('dataset'), run.getAll('reward')]);
    expect(created).toBe(1);
    expect(second).toBe(first);
    expect(reward).toEqual({ dataset: first });
  });

  test('of a list keep the order of the preset, each its own', async () => {
    const run = open([component('reward', 'a', () => ({ is: 'a' })), component('reward', 'b', () => ({ is: 'b' }))]);
    expect(await run.getAll('reward')).toEqual([{ is: 'a' }, { is: 'b' }]);
    expect(await run.getAll('benchmark')).toEqual([]);
  });

  test('get their scope', async () => {
    let scope: Scope | undefined;
    await open([component('dataset', 'd', (own) => (scope = own))]).get('dataset');
    expect(scope?.seed).toBe(5);
    expect(scope?.path('a.txt')).toBe('/presets/a.txt');
  });

  test('of an empty slot are missing by name', async () => {
    const run = open([component('reward', 'r', (scope) => scope.get('dataset'))]);
    await expect(run.getAll('reward')).rejects.toThrow('reward "r" needs a component in the slot "dataset"');
    await expect(run.get('recipe')).rejects.toThrow('the run needs a component in the slot "recipe"');
  });

  test('that fail are named, and an error that explains itself stays as it is', async () => {
    const failing = component('dataset', 'bad', () => {
      throw new Error('out of paint');
    });
    await expect(open([failing]).get('dataset')).rejects.toMatchObject({
      code: 'COMPONENT_FAILED',
      message: 'out of paint',
      place: expect.stringMatching(/^creating dataset "bad" \(test\/core\/container\.test\.ts:\d+:\d+\)$/) as string,
    });
  });

  test.each([
    ['asked one by one', (run: RunContainer) => run.get('dataset')],
    ['asked at the same time', (run: RunContainer) => Promise.all([run.get('dataset'), run.get('tokenizer')])],
  ])('in a circle are an error, not a wait for ever: %s', async (_, ask) => {
    const run = open([
      component('dataset', 'd', (scope) => scope.get('tokenizer')),
      component('tokenizer', 't', (scope) => scope.get('dataset')),
    ]);
    await expect(ask(run)).rejects.toMatchObject({ code: 'COMPONENTS_IN_A_CIRCLE' });
  });
});

describe('disposal', () => {
  test('runs last first, the device after its users; failures do not stop it and are not lost', async () => {
    const closed: string[] = [];
    const device = { close: () => void closed.push('device') } as unknown as Device;
    const user = (name: string, error?: Error) =>
      component('reward', name, async (scope) => {
        const use = scope.onDevice(
          () => name,
          async () => {
            await Promise.resolve();
            closed.push(name);
            if (error !== undefined) throw error;
          },
        );
        await use();
        return {};
      });
    const run = open([user('a'), user('b', new Error('stuck')), user('c')], () => Promise.resolve(device));
    await run.getAll('reward');
    await expect(run.dispose()).rejects.toThrow('stuck');
    expect(closed).toEqual(['c', 'b', 'a', 'device']);
    await run.dispose();
    expect(closed).toHaveLength(4);
  });

  test('closes no device that was never opened', async () => {
    let opened = 0;
    const run = open([component('dataset', 'd', () => ({}))], () => {
      opened++;
      return Promise.reject(new Error('no'));
    });
    await run.get('dataset');
    await run.dispose();
    expect(opened).toBe(0);
  });
});

describe('a device that is only pretended', () => {
  const named = (name: string, closed: string[] = []) =>
    ({ name, close: () => void closed.push(name) }) as unknown as Device & { readonly name: string };

  test('serves the same component, and what was made on it is closed and never seen again', async () => {
    const events: string[] = [];
    let created = 0;
    const codec = component('imageTokenizer', 'c', (scope) => {
      created++;
      const on = scope.onDevice(
        (device) => `made on ${(device as ReturnType<typeof named>).name}`,
        (made) => void events.push(`${made}, closed`),
      );
      scope.onDispose(() => void events.push('disposed'));
      return { on };
    });
    const run = open([codec], () => Promise.resolve(named('real', events)));
    const use = async () => ((await run.get('imageTokenizer')) as unknown as { on: () => Promise<string> }).on();
    for (const name of ['first', 'second'])
      expect(await run.pretend(named(name, events), async () => Promise.all([use(), use()]))).toEqual([
        `made on ${name}`,
        `made on ${name}`,
      ]);
    expect(events).toEqual(['made on first, closed', 'first', 'made on second, closed', 'second']);
    expect(await use()).toBe('made on real');
    expect(await use()).toBe('made on real');
    events.length = 0;
    await run.dispose();
    expect(events).toEqual(['made on real, closed', 'real', 'disposed']);
    expect(created).toBe(1);
  });

  test('what cannot be made is tried again, and disposal goes on', async () => {
    let tries = 0;
    const run = open(
      [
        component('dataset', 'd', (scope) => {
          const on = scope.onDevice(() => {
            if (++tries === 1) throw new Error('no room');
            return tries;
          });
          return { on };
        }),
      ],
      () => Promise.resolve(named('real')),
    );
    const { on } = (await run.get('dataset')) as unknown as { on: () => Promise<number> };
    await expect(on()).rejects.toThrow('no room');
    expect(await on()).toBe(2);
    await run.dispose();
  });
});

test('two runs of one container share nothing', async () => {
  const next = opener([component('dataset', 'd', () => ({}))]);
  const [one, two] = [next(), next()];
  expect(await one.get('dataset')).not.toBe(await two.get('dataset'));
});
