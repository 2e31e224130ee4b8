/** Keys that the runtime reads of every component of a slot: one list, which checking, settings, `show` and plugins follow. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { commonKeys } from '../../../core/preset/common-keys.ts';
import { type LoadedPreset, loadPreset } from '../../../core/preset/load.ts';
import { showPreset } from '../../../core/preset/show.ts';
import testComponents from '../../cases/components.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reasongen-common-keys-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function load(rewards: string, settings: readonly string[] = []): Promise<LoadedPreset> {
  const file = join(folder, 'preset.yaml');
  writeFileSync(file, `dataset: colors\ntokenizer: words\nrecipe: practice\nrewards: [${rewards}]\n`);
  return loadPreset(file, { settings, builtIn: [{ plugin: testComponents, source: 'test', place: 'test' }] });
}

test('each can be written, set at the command line, and is a field of the choice', async () => {
  const wanted = {
    weight: 0.5,
    onError: 'drop',
    retries: 2,
    onNoVerdict: 'group-mean',
    gate: true,
    heldOut: true,
    schedule: [
      [0, 0],
      [10, 1],
    ],
    atOnce: 3,
    timeout: 9.5,
    perMinute: 60,
    budget: { requests: 5, tokens: 7 },
    cache: 'off',
    byWorkers: true,
  };
  expect(Object.keys(commonKeys('reward').shape)).toEqual(Object.keys(wanted));
  const written = await load(`{ use: warmth, ${JSON.stringify(wanted).slice(1)}`);
  const set = await load(
    'warmth',
    Object.entries(wanted).map(([key, value]) => `rewards.warmth.${key}=${JSON.stringify(value)}`),
  );
  for (const { stages } of [written, set]) expect(stages[0]?.preset.components['reward']?.[0]).toMatchObject(wanted);
});

test.each([
  ['weight: heavy', /preset\.yaml:4:\d+[^]*rewards\[0\]\.weight: "heavy" is not a number/],
  ['weight: .inf', /rewards\[0\]\.weight/],
  ['onError: wran', /rewards\[0\]\.onError: "wran" is not one of "fail", "drop", "ignore"/],
  ['retries: -1', /rewards\[0\]\.retries: -1 is too small: at least 0/],
  ['retries: 1.5', /rewards\[0\]\.retries/],
  ['schedule: [[5, 1], [5, 2]]', /rewards\[0\]\.schedule.*steps must grow/],
  ['budget: { request: 3 }', /budget\.request is not an option of reward "warmth"[^]*Did you mean "requests"/],
])('%s is refused where it stands, as an option is', async (text, expected) => {
  await expect(load(`{ use: warmth, ${text} }`)).rejects.toThrow(expected);
});

test('slots without such keys have none', async () => {
  expect(Object.keys(commonKeys('backbone').shape)).toEqual([]);
  await expect(load('warmth', ['dataset.onError=drop'])).rejects.toThrow(
    /onError is not an option of dataset "colors"/,
  );
});

test('a folder of answers is found from where it is written, need not be there, and is written down for the run', async () => {
  const { stages, catalog } = await load('{ use: warmth, cache: ../answers }');
  const [stage] = stages;
  expect(stage?.preset.components['reward']?.[0]?.cache).toBe(join(folder, '../answers'));
  expect(stage && showPreset(stage, catalog, { directory: join(folder, 'run'), origins: false })).toMatch(
    /cache: \.\.\/\.\.\/answers\n/,
  );
});
