/** `plugins` in a folder of a user: packages by name and by keyword, near and above, whole and broken, and what a preset names. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { root } from '../../support/runs.ts';

const top = realpathSync(mkdtempSync(join(tmpdir(), 'reasongen-plugins-')));
const project = join(top, 'project');
afterAll(() => rmSync(top, { recursive: true }));

function write(name: string, text: string): void {
  mkdirSync(dirname(join(top, name)), { recursive: true });
  writeFileSync(join(top, name), text);
}

const reward = (name: string): string => `import { definePlugin, defineReward, z } from 'reasongen/plugin';
const reward = defineReward({
  name: '${name}', summary: 'of a test', options: z.strictObject({}),
  create: () => ({ score: (samples) => samples.map(() => 0) }),
});
export default definePlugin({
  name: '${name}', provides: [reward], slots: [{ slot: '${name}-slot', key: '${name}s', many: true, summary: 'a slot of its own' }],
});
`;

function writePackage(folder: string, manifest: object, entry: string): void {
  write(`${folder}/package.json`, JSON.stringify({ type: 'module', main: 'index.mjs', ...manifest }));
  write(`${folder}/index.mjs`, entry);
}

beforeAll(() => {
  mkdirSync(join(project, 'node_modules'), { recursive: true });
  symlinkSync(root, join(project, 'node_modules/reasongen'));
  mkdirSync(join(top, 'node_modules'));
  symlinkSync(root, join(top, 'node_modules/reasongen'));
  writePackage('project/node_modules/reasongen-plugin-near', { version: '1.2.3' }, reward('near'));
  writePackage('project/node_modules/@me/reasongen-plugin-mine', { version: '0.0.1' }, reward('mine'));
  writePackage('node_modules/judge', { version: '4.0.0', keywords: ['a', 'reasongen-plugin'] }, reward('judge'));
  // Hidden by the one that is nearer.
  writePackage('node_modules/reasongen-plugin-near', { version: '0.0.0' }, reward('far'));
  writePackage(
    'node_modules/left-pad',
    { version: '1.0.0', keywords: ['reasongen-plugins'] },
    'throw new Error("run")',
  );
  write('project/mine/own.mjs', reward('own'));
  write('project/preset.yaml', 'plugins: [./mine/own.mjs, judge]\nrecipe: nobody-reads-this\n');
});

interface Listed {
  readonly specifier: string;
  readonly from: string;
  readonly provides?: Readonly<Record<string, readonly string[]>>;
}

function plugins(...args: string[]): Promise<{ code: number | null; output: string; errors: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [join(root, 'core/bin.mjs'), 'plugins', ...args],
      { cwd: project, encoding: 'utf8' },
      (_error, output, errors) => resolve({ code: child.exitCode, output, errors }),
    );
  });
}

test('lists what is built in, installed and named, each once, with version and file', async () => {
  const { code, output, errors } = await plugins('preset.yaml', '--json');
  expect(code, errors).toBe(0);
  const all = JSON.parse(output) as Listed[];
  expect(all.filter(({ from }) => from === 'built in').length).toBeGreaterThan(8);
  expect(all.find(({ specifier }) => specifier === 'plugins/optimizers')).toMatchObject({
    from: 'built in',
    version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
    provides: { optimizer: expect.arrayContaining(['adamw', 'muon']) },
  });
  const own = (name: string): object => ({ name, provides: { reward: [name] }, slots: [`${name}-slot`], formats: [] });
  expect(all.filter(({ from }) => from !== 'built in')).toEqual([
    {
      ...{ specifier: '@me/reasongen-plugin-mine', from: 'installed', version: '0.0.1', ...own('mine') },
      file: join(project, 'node_modules/@me/reasongen-plugin-mine/index.mjs'),
    },
    {
      ...{ specifier: 'judge', from: 'installed', version: '4.0.0', ...own('judge') },
      file: join(top, 'node_modules/judge/index.mjs'),
    },
    {
      ...{ specifier: 'reasongen-plugin-near', from: 'installed', version: '1.2.3', ...own('near') },
      file: join(project, 'node_modules/reasongen-plugin-near/index.mjs'),
    },
    { specifier: './mine/own.mjs', from: 'preset', file: join(project, 'mine/own.mjs'), ...own('own') },
  ]);
});

test('reads for a person, and says of a broken one why, with an exit code', async () => {
  writePackage(
    'project/node_modules/reasongen-plugin-thrown',
    { version: '0.1.0' },
    'throw new Error("no judge here");',
  );
  write('project/node_modules/reasongen-plugin-torn/package.json', '{ "version": ');
  const { code, output } = await plugins();
  expect(code).toBe(1);
  expect(output).toContain('plugins/byte-bpe  0.1.0  (built in)\n  tokenizer: byte-bpe\n');
  expect(output).toContain(
    'judge  4.0.0  ../node_modules/judge\n  reward: judge\n  adds the slot judge-slot: a slot of its own\n',
  );
  expect(output).toMatch(/reasongen-plugin-thrown {2}0\.1\.0.*\n {2}PLUGIN_FAILED.*\n.*no judge here/);
  expect(output).toMatch(/reasongen-plugin-torn\n {2}PLUGIN_FAILED.*\n.*JSON/);
  expect(output).not.toMatch(/left-pad|own\.mjs|\n {4}at /);
});

test('a preset that cannot be read is refused', async () => {
  const { code, errors } = await plugins('nothing.yaml');
  expect(code).toBe(2);
  expect(errors).toContain('PRESET_NOT_FOUND');
});
