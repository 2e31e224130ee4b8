/** Plugins from a package, slots a plugin adds, and the schema for editors. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createContainer } from '../../../core/container.ts';
import { formatError, type ReasongenError } from '../../../core/errors.ts';
import { silentLog } from '../../../core/log.ts';
import { commonKeys } from '../../../core/preset/common-keys.ts';
import { createCatalog } from '../../../core/preset/catalog.ts';
import { presetSchema } from '../../../core/preset/json-schema.ts';
import { type LoadedPreset, loadCatalogOf, loadPreset } from '../../../core/preset/load.ts';
import { copiesOfPlugins, hashOfPlugin, originOfCopy } from '../../../core/preset/plugin-files.ts';
import { copyPlugins } from '../../../core/run-inputs.ts';
import testComponents from '../../cases/components.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const api = join(root, 'core/plugin.ts');
const components = join(root, 'test/cases/components.ts');
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reasongen-plugins-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function load(text: string): Promise<LoadedPreset> {
  const file = join(folder, 'preset.yaml');
  writeFileSync(file, `dataset: colors\ntokenizer: words\nrecipe: practice\n${text}`);
  return loadPreset(file, { builtIn: [{ plugin: testComponents, source: 'test', place: 'test' }] });
}

describe('a plugin in a package', () => {
  function install(name: string, manifest: object, code: string): void {
    const place = join(folder, 'node_modules', name);
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, 'package.json'), JSON.stringify({ name, type: 'module', ...manifest }));
    writeFileSync(join(place, 'entry.js'), code);
  }

  // As a program of its own: packages are loaded by Node there, as for a user, and not by the test runner.
  test('is found by its name near the preset, whichever way it names its entry', () => {
    const manifests = {
      '@paint/one': { exports: './entry.js' },
      two: { exports: { '.': { types: './entry.d.ts', import: './entry.js' } } },
      three: { main: 'entry.js' },
    };
    for (const [name, manifest] of Object.entries(manifests)) {
      const component = name.replace('@paint/', 'paint-');
      install(
        name,
        manifest,
        `import { definePlugin, defineReward, z } from '${api}';
         const reward = defineReward({ name: '${component}', summary: '', options: z.strictObject({ gain: z.number().default(1) }), create: () => ({ score: () => [] }) });
         export default definePlugin({ name: '${component}', provides: [reward] });`,
      );
    }
    const file = join(folder, 'preset.yaml');
    const rewards = 'rewards: [{ use: paint-one, gain: 3 }, two, three]';
    writeFileSync(
      file,
      `plugins: [${components}, '@paint/one', two, three]\ndataset: colors\ntokenizer: words\nrecipe: practice\n${rewards}\n`,
    );
    const output = execFileSync(process.execPath, ['core/bin.mjs', 'show', file], { cwd: root, encoding: 'utf8' });
    expect(output).toMatch(/use: paint-one[^]*gain: 3[^]*use: two[^]*use: three/);
  });

  test('that cannot be imported is fatal and named', async () => {
    install('torn', { main: 'entry.js' }, "import 'absent-package';");
    await expect(load('plugins: [torn]\n')).rejects.toThrow(/PLUGIN_FAILED[^]*plugin "torn" cannot be imported/);
  });

  test('without its built file, or with a package.json that is none, is no package that is not installed', async () => {
    install('unbuilt', { exports: './dist/index.js' }, '');
    await expect(load('plugins: [unbuilt]\n')).rejects.toMatchObject({
      problems: [
        {
          code: 'PLUGIN_FAILED',
          message: expect.stringMatching(/^plugin "unbuilt" is installed without its file .*dist\/index\.js$/),
          hint: expect.stringContaining('npm run build'),
        },
      ],
    });
    writeFileSync(join(folder, 'node_modules', 'unbuilt', 'package.json'), '{ "name":');
    await expect(load('plugins: [unbuilt]\n')).rejects.toMatchObject({
      code: 'PLUGIN_FAILED',
      place: join(folder, 'node_modules', 'unbuilt', 'package.json'),
      exitCode: 2,
    });
  });
});

test('a slot of a plugin has a key in presets and is filled on demand', async () => {
  writeFileSync(
    join(folder, 'palettes.ts'),
    `import { defineComponent, definePlugin, z } from '${api}';
     const warm = defineComponent('palette', { name: 'warm', summary: '', options: z.strictObject({ size: z.number().default(2) }), create: ({ size }) => Array(size).fill('red') });
     export default definePlugin({ name: 'palettes', slots: [{ slot: 'palette', key: 'palette', many: false, summary: 'colors' }], provides: [warm] });`,
  );
  const loaded = await load('plugins: ./palettes.ts\npalette: { use: warm, size: 3 }\n');
  const preset = loaded.stages[0]?.preset;
  if (preset === undefined) throw new Error('no stage');
  const run = createContainer(loaded.catalog.plugins).openRun({
    preset,
    log: silentLog(),
    path: String,
    openDevice: () => Promise.reject(new Error('no device')),
  });
  expect(await run.get('palette' as 'dataset')).toEqual(['red', 'red', 'red']);
});

describe('the schema for editors', () => {
  test('offers components by name, their options, and forgives what extends may provide', () => {
    const schema = presetSchema(createCatalog([{ plugin: testComponents, source: 'test', place: 'test' }], [])) as {
      properties: Record<string, { items?: { anyOf: unknown[] }; anyOf?: unknown[] }>;
    };
    expect(schema.properties['rewards']?.items?.anyOf).toEqual([
      { type: 'string', enum: ['warmth'] },
      expect.objectContaining({
        additionalProperties: false,
        required: ['use'],
        properties: expect.objectContaining({
          use: { const: 'warmth' },
          name: expect.objectContaining({ type: 'string' }),
          weight: expect.objectContaining({ default: 1 }),
          retries: expect.objectContaining({ type: 'integer', default: 0 }),
          onError: expect.objectContaining({ enum: ['fail', 'drop', 'ignore'], default: 'fail' }),
          gain: { type: 'number', default: 1, description: 'factor of the score' },
          mode: { type: 'string', enum: ['mean', 'median'], default: 'mean', description: 'how pixels are summed up' },
          file: { type: 'string', minLength: 1, description: 'a table of colors' },
        }),
      }),
      expect.objectContaining({ not: { required: ['use'] } }),
    ]);
    const warmth = schema.properties['rewards']?.items?.anyOf[1] as { properties: object } | undefined;
    const common = ['use', ...Object.keys(commonKeys('reward').shape), 'name'];
    expect(Object.keys(warmth?.properties ?? {}).sort()).toEqual([...common, 'gain', 'mode', 'file'].sort());
    expect(schema.properties['optimizer']?.anyOf?.[1]).toMatchObject({ required: ['use'] });
  });

  test('that presets name is what the declarations give: npx reasongen describe --json-schema > presets/schema.json', async () => {
    const text = `${JSON.stringify(presetSchema(await loadCatalogOf([])), undefined, 2)}\n`;
    await expect(text).toMatchFileSnapshot('../../../presets/schema.json');
  });
});

test('a plugin that is named through a link is copied with what it imports from where it really lies', async () => {
  for (const name of ['real/mine', 'real/shared', 'project']) mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(join(folder, 'real/mine/reward.mjs'), "export { amount } from '../shared/amount.mjs';\n");
  writeFileSync(join(folder, 'real/shared/amount.mjs'), 'export const amount = 7;\n');
  symlinkSync('../real/mine', join(folder, 'project/mine'));
  symlinkSync('../real/mine/reward.mjs', join(folder, 'project/alone.mjs'));
  for (const name of ['mine/reward.mjs', 'alone.mjs']) {
    const plugin = join(folder, 'project', name);
    const run = join(folder, `run of ${name.replace('/', ' ')}`);
    const copies = copiesOfPlugins([plugin], run);
    await copyPlugins(copies, run);
    const copy = copies.get(plugin) ?? '';
    expect(((await import(copy)) as { amount: number }).amount).toBe(7);
    expect(hashOfPlugin(copy)).toBe(hashOfPlugin(plugin));
    expect(originOfCopy(copy)).toBe(plugin);
  }
});

test.each(['~/mine.ts', '$HOME/mine.ts', '${PLACE}'])(
  'a plugin that a shell would have to name is refused as such: %s',
  async (plugin) => {
    const error = await load(`plugins: ["${plugin}"]`).catch((cause: unknown) => cause);
    expect(formatError(error as ReasongenError)).toMatch(/^NOT_EXPANDED {2}.*preset\.yaml:4:11\n.* has [~$]/);
  },
);
