/** A run knows what it works from: a change is refused with what changed, or accepted and noted; and it keeps what it can. */
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { RunRecord } from '../../../core/io/records.ts';
import { checkpointOf, type CommandEnd, metricsOf, root, Workplace } from '../../support/runs.ts';

const place = new Workplace();
const prompts = ['red', 'blue', 'green', 'white'];
let taught = '';

/** A folder of a user's: a plugin with a file it imports and one it reads, and prompts. */
function project(name: string): string {
  const folder = place.path(name);
  mkdirSync(join(folder, 'lib'), { recursive: true });
  writeFileSync(join(folder, 'prompts.txt'), `${prompts.join('\n')}\n`);
  writeFileSync(join(folder, 'lib', 'factor.ts'), 'export const factor: number = 3;\n');
  writeFileSync(join(folder, 'lib', 'offset.json'), '{ "offset": 0 }\n');
  writeFileSync(
    join(folder, 'lib', 'green.ts'),
    `import { readFileSync } from 'node:fs';
import { definePlugin, defineReward, z } from 'reasongen/plugin';
import { factor } from './factor.js';
const { offset } = JSON.parse(readFileSync(new URL('./offset.json', import.meta.url), 'utf8'));
const mean = (data: Uint8Array): number => data.reduce((sum, byte, at) => sum + (at % 3 === 1 ? byte : 0), 0) / data.length;
export default definePlugin({ name: 'mine', provides: [defineReward({ name: 'green', summary: 'mean of green', options: z.strictObject({}),
  create: () => ({ score: (samples) => samples.map(({ image }) => offset + factor * mean(image.data) / 255) }) })] });
`,
  );
  writeFileSync(
    join(folder, 'grpo.yaml'),
    `extends: ${join(root, 'test/support/tiny.yaml')}
plugins: [${join(root, 'test/support/swatches.ts')}, ./lib/green.ts]
optimizer: { use: adamw, learningRate: 2e-3 }
rewards: [green]
recipe: { use: grpo, weights: ${taught}, steps: 3, prompts: 2, groupSize: 2, promptFiles: [{ file: prompts.txt }], rationaleTokens: 4, saveEvery: 1 }
`,
  );
  return folder;
}

async function started(folder: string, steps = 2): Promise<string> {
  const directory = join(folder, 'run');
  const end = await place.program([
    'run',
    join(folder, 'grpo.yaml'),
    '--run-dir',
    directory,
    '--set',
    `extensions=[{ use: interrupter, at: step, step: ${steps} }]`,
  ]);
  expect(end.code, end.errors).toBe(130);
  return directory;
}

const resume = (directory: string, ...more: string[]): Promise<CommandEnd> =>
  place.program(['resume', directory, '--set', 'extensions=[]', ...more]);

const recordOf = (directory: string): RunRecord =>
  JSON.parse(readFileSync(join(directory, 'run.json'), 'utf8')) as RunRecord;

beforeAll(async () => {
  taught = (await place.halfTaught()).directory;
});

describe('a run whose inputs', () => {
  test('changed is not resumed, whatever they are; with --accept-changes it is, and says so in its record', async () => {
    const folder = project('changed');
    const directory = await started(folder);
    const before = recordOf(directory);
    expect(Object.keys(before.inputs ?? {}).sort()).toEqual([
      'plugins[0]',
      'plugins[1]',
      'recipe.promptFiles[0].file',
      'recipe.weights',
    ]);
    const state = checkpointOf(directory, 2).state;
    expect(state['inputs']).toEqual(
      Object.fromEntries(Object.entries(before.inputs ?? {}).map(([option, { sha256 }]) => [option, sha256])),
    );
    const changes = [
      ['prompts.txt', 'red\nblue\ngreen\nblack\n', 'recipe.promptFiles[0].file'],
      ['lib/factor.ts', 'export const factor: number = 4;\n', 'plugins[1]'],
      ['lib/offset.json', '{ "offset": 1 }\n', 'plugins[1]'],
    ] as const;
    for (const [name, text, option] of changes) {
      const file = join(folder, name);
      const original = readFileSync(file);
      writeFileSync(file, text);
      const refused = await resume(directory);
      expect(refused).toMatchObject({ code: 2 });
      expect(refused.errors).toContain(`INPUTS_CHANGED`);
      expect(refused.errors).toContain(`${option}: `);
      expect(refused.errors).toContain('--accept-changes');
      writeFileSync(file, original);
    }
    expect(recordOf(directory)).toEqual(before);
    writeFileSync(join(folder, 'lib', 'factor.ts'), 'export const factor: number = 4;\n');
    const accepted = await resume(directory, '--accept-changes');
    expect(accepted.code, accepted.errors).toBe(0);
    const { sessions, inputs } = recordOf(directory);
    expect(sessions.at(-1)?.warnings?.join()).toMatch(/plugins\[1\].*has changed since the run began/);
    expect(inputs?.['plugins[1]']?.sha256).not.toBe(before.inputs?.['plugins[1]']?.sha256);
    // The edited file is the one that judged.
    expect(readFileSync(join(directory, 'plugins', '1', 'factor.ts'), 'utf8')).toContain('= 4');
  });

  test('are gone is moved with its plugins: it resumes to the same end, and draws', async () => {
    const folder = project('whole');
    const whole = await place.program(['run', join(folder, 'grpo.yaml'), '--run-dir', join(folder, 'run')]);
    expect(whole.code, whole.errors).toBe(0);
    const other = project('moved');
    const directory = await started(other);
    const moved = place.path('elsewhere', 'a run');
    mkdirSync(place.path('elsewhere'));
    renameSync(directory, moved);
    rmSync(join(other, 'lib'), { recursive: true });
    const end = await resume(moved);
    expect(end.code, end.errors).toBe(0);
    expect(metricsOf(moved)).toEqual(metricsOf(join(folder, 'run')));
    expect(checkpointOf(moved, 3).weights.equals(checkpointOf(join(folder, 'run'), 3).weights)).toBe(true);
    const drawn = await place.program(['generate', '--preset', moved, '--prompt', 'red', '--out', place.path('drawn')]);
    expect(drawn.code, drawn.errors).toBe(0);
    // A copy of a run is a run as well.
    cpSync(moved, place.path('copied'), { recursive: true });
    const again = await resume(place.path('copied'), '--set', 'recipe.steps=4');
    expect(again.errors).not.toContain('INPUTS_CHANGED');
  });
});
