/** Presets named by file and by package, on a command line, in `extends` and in `stages`. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { formatError, type PresetError } from '../../../core/errors.ts';
import { loadPreset } from '../../../core/preset/load.ts';
import { locatePreset, presetNames } from '../../../core/preset/locate.ts';
import { showPreset } from '../../../core/preset/show.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
let folder: string;
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'reasongen-locate-')));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function write(name: string, text = ''): string {
  const file = join(folder, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
}

/** The file that is found, or the message. */
function located(text: string, directory = folder): string {
  const problems: PresetError[] = [];
  const file = locatePreset(text, directory, undefined, problems);
  expect(file === undefined).toBe(problems.length === 1);
  return file ?? problems.map(formatError).join('\n');
}

describe('a preset of this program', () => {
  test.each(['reasongen/nano/grpo', 'reasongen/nano/grpo.yaml', 'reasongen/presets/nano/grpo'])('%s', (name) => {
    expect(located(name)).toBe(join(root, 'presets/nano/grpo.yaml'));
  });

  test('every one is found by its name, and is the one of the program that runs', () => {
    write('node_modules/reasongen/package.json', '{}');
    write('node_modules/reasongen/presets/nano/grpo.yaml');
    expect(presetNames()).toContain('quickstart');
    for (const name of presetNames()) expect(located(`reasongen/${name}`)).toBe(join(root, `presets/${name}.yaml`));
  });
});

describe('a preset of another package', () => {
  beforeEach(() => {
    for (const name of ['judges', '@paint/kit']) {
      write(`node_modules/${name}/package.json`, '{}');
      write(`node_modules/${name}/presets/strict/one.yaml`);
      write(`node_modules/${name}/extra.yml`);
    }
  });

  test('lies in its folder `presets`, or where the name says', () => {
    for (const name of ['judges', '@paint/kit']) {
      const there = join(folder, 'node_modules', name);
      expect(located(`${name}/strict/one`)).toBe(join(there, 'presets/strict/one.yaml'));
      expect(located(`${name}/presets/strict/one.yaml`)).toBe(join(there, 'presets/strict/one.yaml'));
      expect(located(`${name}/extra.yml`)).toBe(join(there, 'extra.yml'));
    }
  });

  test('is looked for in every folder above the file that names it', () => {
    expect(located('judges/strict/one', join(folder, 'deep/er'))).toBe(
      join(folder, 'node_modules/judges/presets/strict/one.yaml'),
    );
    write('deep/node_modules/judges/package.json', '{}');
    const nearer = write('deep/node_modules/judges/presets/strict/one.yaml');
    expect(located('judges/strict/one', join(folder, 'deep/er'))).toBe(nearer);
  });

  test('a file of that very path goes first, and ./ means nothing else', () => {
    const file = write('judges/strict/one.yaml');
    expect(located('judges/strict/one.yaml')).toBe(file);
    expect(located('judges/strict/one')).toBe(join(folder, 'node_modules/judges/presets/strict/one.yaml'));
    expect(located('./judges/strict/one')).toContain('PRESET_NOT_FOUND');
    expect(located('./node_modules/judges/extra')).toContain('There is: extra.yml');
  });

  test.each(['judges/../@paint/kit/extra', 'judges/./strict/one', 'judges//etc/passwd', 'judges/..'])(
    '%s does not lead out of the package',
    (name) => expect(located(name)).toMatch(/PRESET_NOT_FOUND\n +the package judges has no preset/),
  );
});

describe('what is not there is named with what is', () => {
  test.each([
    ['reasongen/nano/gpro', 'the package reasongen has no preset "nano/gpro". Did you mean "reasongen/nano/grpo"?'],
    ['reasongen/quick', 'There is: reasongen/base/janus-pro-1b, '],
    ['reasongen/sft-lora', 'Did you mean "reasongen/janus-pro-1b/sft-lora" or "reasongen/janus-pro-7b/sft-lora"?'],
    ['nano/grpo', 'no package "nano" is installed. Did you mean "reasongen/nano/grpo"?'],
    [
      'grpo',
      'no such file. Did you mean "reasongen/janus-pro-1b/grpo" or "reasongen/janus-pro-7b/grpo" or "reasongen/nano/grpo"?',
    ],
    ['reasongen', 'There is: reasongen/'],
    ['', 'is a folder, not a preset'],
    ['judges/strict', 'no such file, and no package "judges" is installed. There is: reasongen/'],
    ['absent/x.yaml', 'The folder does not exist either.'],
    ['own', 'there is no file'],
    ['folder', 'is a folder, not a preset. There is: one.yaml'],
    ['run', 'is the folder of a run, not a preset. Go on with it: npx reasongen resume'],
    ['~/mine.yaml', 'NOT_EXPANDED\n  "~/mine.yaml" has ~ in it'],
    ['$HOME/mine.yaml', '"$HOME/mine.yaml" has $HOME in it'],
  ])('%j', (name, message) => {
    write('own.yaml');
    write('folder/one.yaml');
    write('run/preset.yaml');
    expect(located(name)).toContain(message);
  });
});

test('`extends` and `stages` take names as well as files, and the mistake stands where it was made', async () => {
  const child = write('mine/child.yaml', 'name: child\nextends: reasongen/nano/grpo\nrecipe: { steps: 3 }\n');
  const loaded = await loadPreset(child);
  expect(loaded.stages[0]?.preset.components['recipe']?.[0]?.options).toMatchObject({
    steps: 3,
    weights: join(root, 'plugins/janus/nano/model.safetensors'),
  });
  const chain = write('mine/chain.yaml', 'stages: [reasongen/nano/vq, { name: learn, preset: child.yaml }]\n');
  const { stages } = await loadPreset(chain, { settings: ['vq.steps=2', 'learn.steps=4'] });
  expect(stages.map(({ name, preset }) => [name, preset.components['recipe']?.[0]?.options['steps']])).toEqual([
    ['vq', 2],
    ['learn', 4],
  ]);
  const wrong = write('mine/wrong.yaml', 'name: wrong\nextends: [reasongen/nano/gpro]\n');
  await expect(loadPreset(wrong)).rejects.toThrow(/PRESET_NOT_FOUND {2}.*wrong\.yaml:2:11[^]*"reasongen\/nano\/grpo"/);
  const wrongChain = write('mine/wrong-chain.yaml', 'stages:\n  - reasongen/nano/vk\n');
  await expect(loadPreset(wrongChain, { settings: ['vk.steps=2'] })).rejects.toThrow(
    /^PRESET_NOT_FOUND {2}.*wrong-chain\.yaml:2:5\n.*"reasongen\/nano\/vq"\?$/,
  );
});

test('a plugin that only the package of a preset has is written into a run by its path', async () => {
  const plugin = (name: string): string => `export default { name: '${name}', provides: [] };`;
  write('node_modules/judges/package.json', '{}');
  write('node_modules/judges/presets/one.yaml', 'extends: reasongen/nano/grpo\nplugins: [hidden]\n');
  write('node_modules/judges/node_modules/hidden/package.json', '{ "type": "module" }');
  const hidden = write('node_modules/judges/node_modules/hidden/index.js', plugin('hidden'));
  const file = write('mine.yaml', 'name: mine\nextends: judges/one\n');
  const loaded = await loadPreset(file);
  const [stage] = loaded.stages;
  if (stage === undefined) throw new Error('no stage');
  expect(stage.preset.plugins).toEqual([hidden]);
  const text = showPreset(stage, loaded.catalog, { directory: join(folder, 'runs/mine'), origins: false });
  const again = await loadPreset(write('runs/mine/preset.yaml', text));
  expect(again.stages[0]?.preset).toEqual({ ...stage.preset, file: join(folder, 'runs/mine/preset.yaml') });
});
