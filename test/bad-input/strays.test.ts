/** What a plugin does behind the back of whoever called it: the run ends in good order, and the plugin is named. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readRunRecord } from '../../core/io/records.ts';
import { blamed } from '../../core/blame.ts';
import { askReward } from '../../core/rl/ask-reward.ts';
import { giveUpNewest, giveUpWaiting } from '../../core/waiting.ts';
import { root, Workplace } from '../support/runs.ts';

const place = new Workplace();

/** A preset without a device whose extension does this at the end of a step. */
function presetWith(step: string): string {
  place.write(
    'stray.ts',
    `import { defineExtension, definePlugin, z } from '${join(root, 'core/plugin.ts')}';
const stray = defineExtension({ name: 'stray', summary: '', options: z.strictObject({}), create: () => ({ step: async () => { ${step} } }) });
export default definePlugin({ name: 'mine', provides: [stray] });
`,
  );
  return place.write(
    'stray.yaml',
    `plugins: [${join(root, 'test/cases/components.ts')}, ./stray.ts]\ndataset: colors\ntokenizer: words\nrecipe: { use: practice, steps: 500, pause: 20 }\nextensions: [stray]\n`,
  );
}

describe('an extension that', () => {
  test.each([
    [
      'throws in a timer',
      "setTimeout(() => { throw new Error('late'); }, 5)",
      /PLUGIN_THREW.*stray\.ts:\d+:\d+[^]*late/,
    ],
    [
      'throws in a timer while it is waited for',
      "setTimeout(() => { throw new Error('late'); }, 5); await new Promise(() => {})",
      /PLUGIN_THREW.*stray\.ts:\d+:\d+[^]*late/,
    ],
    [
      'forgets a promise that fails',
      "void Promise.reject(new Error('lost'))",
      /PLUGIN_THREW.*stray\.ts:\d+:\d+[^]*lost/,
    ],
    ['forgets one that fails with nothing', 'void Promise.reject(null)', /null/],
    ['ends the process', 'process.exit(0)', /HOOK_FAILED.*stray\.ts:\d+:\d+[^]*process\.exit\(0\)/],
    ['never answers', 'await new Promise(() => {})', /HOOK_FAILED.*hook "step"[^]*its answer never came/],
  ])('%s ends the run, which is closed, with its name', async (_, step, message) => {
    const directory = place.free();
    const { code, errors } = await place.program(['run', presetWith(step), '--run-dir', directory]);
    expect(errors).toMatch(message);
    expect(errors).not.toMatch(/^\s+at /m);
    expect(code).toBe(1);
    expect(existsSync(join(directory, 'lock'))).toBe(false);
    expect((await readRunRecord(directory)).sessions.at(-1)?.outcome).toMatch(/^(failed|stopped)$/);
  });

  test('leaves a timer and a server behind keeps the program from ending no longer', async () => {
    const step =
      "setInterval(() => {}, 1000); const { createServer } = await import('node:http'); createServer().listen(0)";
    const { code, errors } = await place.program([
      'run',
      presetWith(step),
      '--run-dir',
      place.free(),
      '--set',
      'steps=1',
    ]);
    expect(code, errors).toBe(0);
  });
});

test('a reward whose answer never comes is named when it is given up', async () => {
  const reward = { score: () => new Promise<number[]>(() => {}) };
  const asked = askReward({ name: 'slow', plugin: 'mine', weight: 1, reward }, [], new AbortController().signal);
  expect(giveUpWaiting(new Error('no more'))).toBe(true);
  await expect(asked).rejects.toMatchObject({
    code: 'REWARD_FAILED',
    place: expect.stringMatching(/^reward "slow" of plugin "mine"/) as string,
  });
  expect(giveUpWaiting(new Error('no more'))).toBe(false);
});

test('what does not come is named, not who asked for it', async () => {
  const judge = blamed({ answer: () => new Promise<number[]>(() => {}) }, 'judge "mute" of plugin "mine"');
  const reward = { score: () => judge.answer() };
  const asked = askReward({ name: 'asker', weight: 1, reward }, [], new AbortController().signal);
  expect(giveUpNewest(new Error('no more'))).toBe(true);
  await expect(asked).rejects.toMatchObject({
    code: 'COMPONENT_FAILED',
    place: expect.stringMatching(/^judge "mute" of plugin "mine"/) as string,
  });
  expect(giveUpNewest(new Error('no more'))).toBe(false);
});

describe('a component whose answer never comes is named, with its plugin', () => {
  const lost = 'new Promise(() => {})';
  test.each([
    ['when it is made', `create: () => ${lost}`, /COMPONENT_FAILED {2}creating dataset "mute" of plugin "mine"/],
    [
      'when it is asked',
      `create: () => ({ imageSize: { width: 8, height: 8 }, tasks: [], open: () => ${lost} })`,
      /COMPONENT_FAILED {2}dataset "mute" of plugin "mine"/,
    ],
    ['when its file is imported', 'create: () => ({})', /PLUGIN_FAILED [^]*mute\.ts/, `await ${lost};`],
  ])('%s', async (_, create, message, before = '') => {
    place.write(
      'mute.ts',
      `import { defineDataset, definePlugin, z } from '${join(root, 'core/plugin.ts')}';
${before}
const mute = defineDataset({ name: 'mute', summary: '', options: z.strictObject({}), ${create} });
export default definePlugin({ name: 'mine', provides: [mute] });
`,
    );
    const preset = place.preset(
      'mute',
      `plugins: [${join(root, 'test/support/swatches.ts')}, ./mute.ts]\ndataset: mute\noptimizer: { use: sgd, learningRate: 1 }\nrecipe: { use: sft, steps: 1, batch: 1 }\n`,
    );
    const { errors } = await place.program(['run', preset, '--run-dir', place.free()]);
    expect(errors).toMatch(message);
    expect(errors).toContain('its answer never came');
    expect(errors).not.toContain('NEVER_SETTLED');
  });
});
