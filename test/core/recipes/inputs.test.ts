/** A run knows what it works from: a change is refused with what changed, or accepted and noted; and it keeps what it can. */
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { RunRecord } from '../../../core/io/records.ts';
import type { CommandEnd } from '../../support/command-line.ts';
import { checkpointOf, metricsOf, root, Workplace } from '../../support/runs.ts';

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

  test('include the preset it wrote: one that was edited is refused, settings are changed by --set, or accepted and noted', async () => {
    const folder = project('edited');
    const directory = await started(folder);
    const file = join(directory, 'preset.yaml');
    const original = readFileSync(file, 'utf8');
    writeFileSync(file, original.replace('rationaleTokens: 4', 'rationaleTokens: 5'));
    const refused = await resume(directory);
    expect(refused).toMatchObject({ code: 2 });
    expect(refused.errors).toContain('INPUTS_CHANGED');
    expect(refused.errors).toMatch(/preset\.yaml is not as the run wrote it.*resume --set/);
    const accepted = await resume(directory, '--accept-changes');
    expect(accepted.code, accepted.errors).toBe(0);
    expect(recordOf(directory).sessions.at(-1)?.warnings?.join()).toContain('preset.yaml is not as the run wrote it');
    // What was accepted is now the run's own.
    const longer = await resume(directory, '--set', 'recipe.steps=4');
    expect(longer.code, longer.errors).toBe(0);
    expect(readFileSync(file, 'utf8')).toContain('rationaleTokens: 5');
  });

  test('name pictures, or are packages, is refused when those change, by name and by version', async () => {
    const folder = project('packaged');
    const own = join(folder, 'node_modules', 'colors');
    mkdirSync(own, { recursive: true });
    cpSync(join(folder, 'lib'), join(own, 'lib'), { recursive: true });
    const manifest = (version: string): string =>
      JSON.stringify({ name: 'colors', version, type: 'module', exports: './lib/green.ts' });
    writeFileSync(join(own, 'package.json'), manifest('1.0.0'));
    writeFileSync(join(folder, 'prompts.jsonl'), '{"prompt": "red", "like": "red.png"}\n{"prompt": "blue"}\n');
    writeFileSync(join(folder, 'red.png'), 'one');
    const yaml = readFileSync(join(folder, 'grpo.yaml'), 'utf8');
    writeFileSync(
      join(folder, 'grpo.yaml'),
      yaml.replace('./lib/green.ts', 'colors').replace('prompts.txt', 'prompts.jsonl'),
    );
    const directory = await started(folder, 1);
    expect(recordOf(directory).inputs?.['plugins[1]']).toMatchObject({ version: '1.0.0' });
    writeFileSync(join(folder, 'red.png'), 'two');
    const picture = await resume(directory);
    expect(picture.errors).toMatch(/INPUTS_CHANGED[^]*recipe\.promptFiles\[0\]\.file: the content of/);
    writeFileSync(join(folder, 'red.png'), 'one');
    writeFileSync(join(own, 'package.json'), manifest('1.1.0'));
    const version = await resume(directory);
    expect(version.errors).toMatch(
      /INPUTS_CHANGED[^]*plugins\[1\]: .* is version 1\.1\.0, and the run began with 1\.0\.0/,
    );
    // Another version of this program and of Node is said and noted, and ends nothing.
    const record = recordOf(directory);
    const older = { ...record, versions: { ...record.versions, reasongen: '0.0.1', node: '20.0.0' } };
    writeFileSync(join(directory, 'run.json'), JSON.stringify(older));
    const accepted = await resume(directory, '--accept-changes');
    expect(accepted.code, accepted.errors).toBe(0);
    expect(accepted.errors).toContain('under reasongen 0.0.1 so far');
    const { sessions, inputs, versions } = recordOf(directory);
    expect(sessions.at(-1)?.warnings?.join('\n')).toMatch(/reasongen 0\.0\.1[^]*node 20\.0\.0[^]*version 1\.1\.0/);
    expect(inputs?.['plugins[1]']).toMatchObject({ version: '1.1.0' });
    expect(versions).toEqual(record.versions);
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
