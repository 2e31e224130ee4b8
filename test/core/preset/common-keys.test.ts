/** Keys that the runtime reads of every component of a slot: one list, which checking, settings, `show` and plugins follow. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { commonKeys } from '../../../core/preset/common-keys.ts';
import { type LoadedPreset, loadPreset } from '../../../core/preset/load.ts';
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
  const wanted = { weight: 0.5, onError: 'drop', retries: 2 };
  expect(Object.keys(commonKeys('reward').shape)).toEqual(Object.keys(wanted));
  const written = await load('{ use: warmth, weight: 0.5, onError: drop, retries: 2 }');
  const set = await load(
    'warmth',
    Object.entries(wanted).map(([key, value]) => `rewards.warmth.${key}=${value}`),
  );
  for (const { stages } of [written, set]) expect(stages[0]?.preset.components['reward']?.[0]).toMatchObject(wanted);
});

test.each([
  ['weight: heavy', /preset\.yaml:4:\d+[^]*rewards\[0\]\.weight: "heavy" is not a number/],
  ['weight: .inf', /rewards\[0\]\.weight/],
  ['onError: wran', /rewards\[0\]\.onError: "wran" is not one of "fail", "drop", "ignore"/],
  ['retries: -1', /rewards\[0\]\.retries: -1 is too small: at least 0/],
  ['retries: 1.5', /rewards\[0\]\.retries/],
])('%s is refused where it stands, as an option is', async (text, expected) => {
  await expect(load(`{ use: warmth, ${text} }`)).rejects.toThrow(expected);
});

test('slots without such keys have none', async () => {
  expect(Object.keys(commonKeys('backbone').shape)).toEqual([]);
  await expect(load('warmth', ['dataset.onError=drop'])).rejects.toThrow(
    /onError is not an option of dataset "colors"/,
  );
});
