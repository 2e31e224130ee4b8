/** A reward's file that is edited while the run goes on: picked up between steps, noted, refused where it cannot be used, and picked up again at the same step by a run that is resumed. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import type { RunRecord } from '../../../core/io/records.ts';
import { checkpointOf, metricsOf, root, Workplace } from '../../support/runs.ts';

const place = new Workplace();
let taught = '';
beforeAll(async () => {
  taught = (await place.halfTaught()).directory;
});

/** What the reward adds is in a file of its own: an edit of what a plugin imports is an edit of the plugin. */
const amount = (value: number): string => `export const amount: number = ${value};\n`;
const reward = (body: string): string => `import { definePlugin, defineReward, z } from 'reasongen/plugin';
import { amount } from './amount.js';
export default definePlugin({ name: 'mine', provides: [defineReward({ name: 'code', summary: 'the first code', options: z.strictObject({ scale: z.number().default(1).describe('factor') }),
  create: ({ scale }) => ({ score: (samples) => samples.map(({ codes }) => ${body}) }) })] });
`;

/** Files that an extension writes behind steps: an author at work, at exact moments. */
function project(name: string, edits: Readonly<Record<number, Readonly<Record<string, string>>>>): string {
  const folder = place.path(name);
  mkdirSync(folder);
  const write = {
    'amount.ts': amount(0),
    'reward.ts': reward('amount + scale * (codes[0] ?? 0) / 64'),
    'prompts.txt': 'red\nblue\ngreen\nwhite\n',
  };
  for (const [file, text] of Object.entries(write)) writeFileSync(join(folder, file), text);
  // Not within the plugin: what it names there would be a part of it.
  writeFileSync(join(folder, 'edits.json'), JSON.stringify(edits));
  writeFileSync(
    join(folder, 'author.ts'),
    `import { readFileSync, writeFileSync } from 'node:fs';
import { defineExtension, definePlugin, z } from 'reasongen/plugin';
const edits = JSON.parse(readFileSync(${JSON.stringify(join(folder, 'edits.json'))}, 'utf8'));
export default definePlugin({ name: 'author', provides: [defineExtension({ name: 'author', summary: 'edits', options: z.strictObject({}), create: () => ({
  step: ({ step }) => { for (const [file, text] of Object.entries(edits[step] ?? {}) as [string, string][]) writeFileSync(${JSON.stringify(folder)} + '/' + file, text); } }) })] });
`,
  );
  writeFileSync(
    join(folder, 'grpo.yaml'),
    `extends: ${join(root, 'test/support/tiny.yaml')}
plugins: [${join(root, 'test/support/swatches.ts')}, ./reward.ts, ./author.ts]
optimizer: { use: adamw, learningRate: 2e-3 }
rewards: [{ use: code, scale: 2 }]
extensions: [author]
recipe: { use: grpo, weights: ${taught}, steps: 6, prompts: 2, groupSize: 2, promptFiles: [{ file: prompts.txt }], rationaleTokens: 4, saveEvery: 2, keep: 5, evaluations: 0, guards: { constantReward: off, allFiltered: off } }
`,
  );
  return folder;
}

const recordOf = (directory: string): RunRecord =>
  JSON.parse(readFileSync(join(directory, 'run.json'), 'utf8')) as RunRecord;
/** As a process leaves run.json that is killed. */
function forgetTheEnd(directory: string): void {
  const record = recordOf(directory);
  const sessions = record.sessions.map(({ command, startedAt }) => ({ command, startedAt }));
  writeFileSync(join(directory, 'run.json'), JSON.stringify({ ...record, sessions }));
}

const hashes = (directory: string): unknown[] => metricsOf(directory).map((line) => line['rewardFile/code']);

test('an edit judges from the next step on, a mistake leaves the old file in charge, and a resume does the same at the same steps', async () => {
  const edits = {
    2: { 'amount.ts': amount(10) },
    3: { 'reward.ts': 'export default {' },
    4: { 'reward.ts': reward('amount + scale * (codes[1] ?? 0) / 64') },
  };
  const folder = project('edited', edits);
  const directory = join(folder, 'run');
  const whole = await place.program(['run', join(folder, 'grpo.yaml'), '--run-dir', directory]);
  expect(whole.code, whole.errors).toBe(0);

  // Picked up before steps 3 and 5; step 4 went on with the file of step 3.
  const [first, second, third, fourth, fifth, sixth] = hashes(directory);
  expect(first).toMatch(/^[0-9a-f]{12}$/);
  expect([second, fourth, sixth]).toEqual([first, third, fifth]);
  expect(new Set([first, third, fifth]).size).toBe(3);
  const rewards = metricsOf(directory).map((line) => Number(line['reward/code']));
  expect(rewards.map((value) => value >= 10)).toEqual([false, false, true, true, true, true]);

  const record = recordOf(directory);
  expect(record.edits?.map(({ step, file }) => [step, file])).toEqual([
    [3, join(folder, 'reward.ts')],
    [5, join(folder, 'reward.ts')],
  ]);
  for (const { sha256, copy } of record.edits ?? []) {
    expect([third, fifth]).toContain(sha256.slice(0, 12));
    expect(existsSync(join(directory, copy))).toBe(true);
  }
  expect(record.sessions[0]?.warnings).toEqual([
    expect.stringMatching(
      /^step 3: reward "code" judges by the edited .*reward\.ts from now on \(sha256 [0-9a-f]{12}\)$/,
    ),
    expect.stringMatching(
      /^step 4: .*reward\.ts was edited and cannot be used; what was there before goes on judging: PLUGIN_FAILED .*cannot be imported/,
    ),
    expect.stringMatching(/^step 5: /),
  ]);
  const log = readFileSync(join(directory, 'log.txt'), 'utf8');
  expect(log.match(/cannot be used/g)).toHaveLength(1);
  expect(readdirSync(join(directory, 'plugins')).sort()).toEqual(['1', '2', '3', '5', 'origins.json']);

  // As if it had been killed behind step 2: the edits are picked up where they were, from the copies, and the run ends with the same bits.
  const end = [metricsOf(directory), checkpointOf(directory, 6)];
  for (const step of [4, 6]) rmSync(join(directory, 'checkpoints', `step-00000${step}`), { recursive: true });
  forgetTheEnd(directory);
  const again = await place.program(['resume', directory, '--set', 'steps=6', '--set', 'extensions=[]']);
  expect(again.code, again.errors).toBe(0);
  expect([metricsOf(directory), checkpointOf(directory, 6)]).toEqual(end);
  expect(readFileSync(join(directory, 'log.txt'), 'utf8')).toMatch(
    /step 3: reward "code" judges by .* as it was edited before step 3/,
  );

  // Edited while the run was not going on: that is a change like any other.
  writeFileSync(join(folder, 'amount.ts'), amount(20));
  forgetTheEnd(directory);
  const refused = await place.program(['resume', directory, '--set', 'steps=8']);
  expect(refused.errors).toMatch(/INPUTS_CHANGED[^]*reward\.ts, or a file it imports, has changed/);
  expect(refused.code).toBe(2);
});

test('what an edit may not do: lose the reward, or the options of the run', async () => {
  const whole = reward('amount');
  const folder = project('broken', {
    1: { 'reward.ts': whole.replace("name: 'code'", "name: 'other'") },
    2: { 'reward.ts': whole.replace('scale: z.number()', 'factor: z.number()').replace('{ scale }', '{ factor }') },
    3: { 'reward.ts': whole.replace('score: (', 'judge: (') },
    4: {
      'reward.ts': whole.replace(
        'create: ({ scale }) =>',
        "create: () => { throw new Error('no key') },\n  other: () =>",
      ),
    },
  });
  const directory = join(folder, 'run');
  const { code, errors } = await place.program(['run', join(folder, 'grpo.yaml'), '--run-dir', directory]);
  expect(code, errors).toBe(0);
  expect(new Set(hashes(directory)).size).toBe(1);
  expect(recordOf(directory).edits).toBeUndefined();
  expect(recordOf(directory).sessions[0]?.warnings?.map((line) => line.replace(/^.*judging: /, ''))).toEqual([
    expect.stringMatching(/it has no reward "code" any more/),
    expect.stringMatching(/no longer takes the options of this run: .*scale/),
    expect.stringMatching(/has no function `score`/),
    expect.stringMatching(/no key/),
  ]);
});
