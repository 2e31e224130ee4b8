/** The package as its users have it: packed, installed into an empty folder, used there from the command line and from plain JavaScript. */
import { once } from 'node:events';
import { cpSync, existsSync, readFileSync, symlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { packageFiles } from '../../core/commands/starter/package.ts';
import { componentKinds, template } from '../../core/commands/starter/templates.ts';
import { cloneManifest, publishedManifest } from '../../core/setup/manifest.mjs';
import { metricsOf, root } from '../support/runs.ts';
import { InstalledPackage } from './installed.ts';

/** Each Node the package is tried with: this one, or those that `npm run test:package` has fetched. */
const nodes = process.env['REASONGEN_TEST_NODES']?.split(':') ?? [process.execPath];
const program = 'node_modules/reasongen/core/bin.mjs';

let installed: InstalledPackage;
// Packs, builds and installs: minutes on a busy machine.
beforeAll(() => {
  installed = new InstalledPackage();
}, 900_000);
afterAll(() => installed.remove());

/** A reward in each form a plugin may have; `{name}` gives every drawing its value. */
const reward = (name: string, value: string): string => `
import { definePlugin, defineReward, z } from 'reasongen/plugin';
export default definePlugin({
  name: '${name}',
  provides: [
    defineReward({
      name: '${name}',
      summary: 'always the same',
      options: z.strictObject({}),
      create: () => ({ score: (samples) => samples.map(() => ${value}) }),
    }),
  ],
});
`;

/** Code that only compiles as its author means it with the tsconfig.json beside it. */
const typescriptReward = `import { definePlugin, defineReward, exitCodes, ReasongenError, z, type Reward } from 'reasongen/plugin';
import { half } from '~/values';
import settings from './settings.json';
import { third } from './third.js';

enum Marks { Full = 1 }
const fields: string[] = [];
function noted(_target: object, key: string): void {
  fields.push(key);
}
class Half implements Reward {
  @noted value: number = half * Marks.Full;
  score(samples: Parameters<Reward['score']>[0]): number[] {
    if (fields.join() !== 'value' || settings.third !== third)
      throw new ReasongenError({ code: 'WRONGLY_COMPILED', message: 'not as tsconfig.json says', exitCode: exitCodes.failure });
    return samples.map(() => this.value);
  }
}
export default definePlugin({
  name: 'half',
  provides: [defineReward({ name: 'half', summary: 'half', options: z.strictObject({}), create: () => new Half() })],
});
`;

function writePlugins(): void {
  installed.write('mine/plugin.ts', typescriptReward);
  installed.write('mine/source/values.ts', 'export const half: number = 0.5;\n');
  installed.write('mine/third.ts', 'export const third: number = 3;\n');
  installed.write('mine/settings.json', '{ "third": 3 }');
  installed.write(
    'mine/tsconfig.json',
    JSON.stringify({
      compilerOptions: {
        strict: true,
        module: 'nodenext',
        experimentalDecorators: true,
        resolveJsonModule: true,
        paths: { '~/*': ['./source/*'] },
      },
    }),
  );
  installed.write('mine/plain.mjs', reward('plain', '0.25'));
  const manifest = { name: 'reasongen-plugin-quarter', version: '1.0.0', type: 'module', exports: './index.js' };
  installed.write('node_modules/reasongen-plugin-quarter/package.json', JSON.stringify(manifest));
  installed.write(
    'node_modules/reasongen-plugin-quarter/index.js',
    reward('quarter', '({ value: 0.25, why: "always" })'),
  );
  installed.write(
    'mine/preset.yaml',
    `name: mine
extends: reasongen/nano/grpo
plugins: [./plugin.ts, ./plain.mjs, reasongen-plugin-quarter]
rewards: [half, plain, quarter]
recipe: { steps: 1, prompts: 1, groupSize: 2, miniBatches: 1, evaluations: 0, rationaleTokens: 8, guards: { allFiltered: off, constantReward: off } }
`,
  );
}

test('package.json of the package and of a clone are made from each other', () => {
  const text = readFileSync(join(root, 'package.json'), 'utf8');
  const manifest = JSON.parse(text) as Parameters<typeof publishedManifest>[0];
  expect(cloneManifest(manifest)).toEqual(manifest);
  const published = publishedManifest(manifest);
  expect(publishedManifest(published)).toEqual(published);
  expect(`${JSON.stringify(cloneManifest(published), null, 2)}\n`).toBe(text);
});

test('packing leaves package.json as it was', () => {
  const text = (folder: string): string => readFileSync(join(folder, 'package.json'), 'utf8');
  expect(text(installed.tree)).toBe(text(root));
});

test('holds what runs and what it is known by, and neither sources nor tests', () => {
  const files = installed.files();
  expect(files).toEqual(
    expect.arrayContaining(['LICENSE', 'README.md', 'CHANGELOG.md', 'package.json', program.slice(23)]),
  );
  for (const name of [
    'kernels/silu/forward.wgsl',
    'presets/nano/grpo.yaml',
    'plugins/nano-world/atlas.png',
    'core/page/report.css',
    'core/page/report-script.js',
  ])
    expect(files).toContain(`dist/${name}`);
  // What `create` writes for others lies there under names that are none of a source.
  const isTemplate = (name: string): boolean => /^dist\/core\/commands\/starter\/templates\/.*\.txt$/.test(name);
  const sources = files.filter((name) => /(?<!\.d)\.m?ts$|\.map$|\.test\.|^test|tsconfig/.test(name));
  expect(sources.filter((name) => !isTemplate(name))).toEqual([]);
});

describe.each(nodes.map((node, index) => ({ node, index })))('$node', ({ node, index }) => {
  const run = (...args: string[]): ReturnType<InstalledPackage['node']> => installed.node(node, [program, ...args]);
  const succeed = (...args: string[]): string => {
    const { status, stdout, stderr } = run(...args);
    expect({ args, status, stderr: status === 0 ? '' : stderr }).toEqual({ args, status: 0, stderr: '' });
    return stdout;
  };

  test('version and help load no driver, no loader and no command', () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { readonly version: string };
    const loaded = (...args: string[]): { readonly stdout: string; readonly modules: readonly string[] } => {
      const record = installed.write('spy/loaded.txt', '');
      const { stdout } = installed.node(node, ['--import', './spy/spy.mjs', program, ...args], { LOADED: record });
      return { stdout, modules: readFileSync(record, 'utf8').trim().split('\n') };
    };
    installed.write(
      'spy/spy.mjs',
      "import { register } from 'node:module';\nregister('./hooks.mjs', import.meta.url);\n",
    );
    installed.write(
      'spy/hooks.mjs',
      `import { appendFileSync } from 'node:fs';
       export async function load(url, context, next) {
         appendFileSync(process.env.LOADED, url + '\\n');
         return next(url, context);
       }`,
    );
    for (const [flag, text] of [
      ['--version', `${version}\n`],
      ['--help', 'verify-device'],
    ] as const) {
      const { stdout, modules } = loaded(flag);
      expect(stdout).toContain(text);
      expect(modules.length).toBeGreaterThan(5);
      const packages = modules.flatMap(
        (url) => /node_modules\/(?!.*node_modules)((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1] ?? [],
      );
      expect([...new Set(packages)].sort()).toEqual(['commander', 'reasongen']);
      expect(modules.filter((url) => /\/(commands|gpu|preset)\/|\/launch\.|vulkan/.test(url))).toEqual([]);
    }
  });

  test('doctor, check and generate', () => {
    expect(succeed('doctor')).toMatch(/ok +adapter/);
    expect(succeed('check', 'reasongen/nano/sft')).toContain('every option is valid');
    succeed(
      'generate',
      '--preset',
      'reasongen/nano/generate',
      '--prompt',
      'a photo of two cakes',
      '--out',
      `out-${index}`,
    );
    expect(existsSync(join(installed.folder, `out-${index}`, '00000.png'))).toBe(true);
  });

  test('serve draws until it is stopped', async () => {
    const args = ['serve', '--preset', 'reasongen/nano/generate', '--weights', 'random', '--port', '0'];
    const server = installed.start(node, [program, ...args, '--name', 'nano']);
    let said = '';
    server.stderr.on('data', (chunk) => (said += String(chunk)));
    const ended = once(server, 'close');
    const listening = once(server.stdout, 'data').then(([chunk]) => String(chunk).trim());
    const url = await Promise.race([
      listening,
      ended.then(() => {
        throw new Error(`it ended: ${said}`);
      }),
    ]);
    expect(await (await fetch(`${url}/models`)).json()).toMatchObject({ data: [{ id: 'nano' }] });
    const answer = await fetch(`${url}/images/generations`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'a photo of two cakes', seed: 1 }),
    });
    expect(await answer.json()).toMatchObject({ data: [{ b64_json: expect.stringMatching(/^iVBOR/) }] });
    server.kill('SIGTERM');
    expect((await ended)[0], said).toBe(0);
  });

  test('what is optional is not there: doctor and whoever needs it say how to get it; then it is found', () => {
    const install = 'ONNXRUNTIME_NODE_INSTALL=skip npm install onnxruntime-node@';
    expect(succeed('doctor')).toMatch(new RegExp(`absent +onnxruntime-node +not installed.*\\n +→ ${install}`));
    installed.write(
      'mine/seen.yaml',
      `name: seen\nextends: reasongen/nano/grpo\njudges: [{ use: clip-score, model: ${join(root, 'test/golden/evidence/clip')} }]\n`,
    );
    const { status, stderr } = run('check', 'mine/seen.yaml');
    expect(status).toBe(2);
    expect(stderr).toMatch(new RegExp(`^ONNXRUNTIME_MISSING[^]* is not installed. ${install}`, 'm'));
    for (const name of ['onnxruntime-node', 'onnxruntime-common'])
      symlinkSync(join(root, 'node_modules', name), join(installed.folder, 'node_modules', name));
    expect(succeed('doctor')).toMatch(/ok +onnxruntime-node +1\.30\.0, for the judges/);
    for (const name of ['onnxruntime-node', 'onnxruntime-common'])
      unlinkSync(join(installed.folder, 'node_modules', name));
  });

  test('trains a step with a plugin in TypeScript, one in JavaScript and one from npm', () => {
    writePlugins();
    succeed('run', 'mine/preset.yaml', '--run-dir', `runs/mine-${index}`);
    const [metrics] = metricsOf(join(installed.folder, `runs/mine-${index}`));
    expect(metrics).toMatchObject({ reward: 1, 'reward/half': 0.5, 'reward/plain': 0.25, 'reward/quarter': 0.25 });
  });

  test('a program in plain JavaScript imports every entry and runs a preset on the driver that prepareDriver() finds', () => {
    installed.write('embed.mjs', embedding);
    const none = { VK_DRIVER_FILES: '/nonexistent.json', VK_ICD_FILENAMES: '/nonexistent.json' };
    const without = installed.node(node, ['embed.mjs', `runs/none-${index}`], none);
    expect(without.stdout).toMatch(/^NO_ADAPTER .*prepareDriver\(\)/);
    const { status, stdout, stderr } = installed.node(node, ['embed.mjs', `runs/embedded-${index}`, 'prepare']);
    expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^adapter: /);
    expect(metricsOf(join(installed.folder, `runs/embedded-${index}`))).toHaveLength(1);
  });
});

/** Imports whatever the package exports; runs a step of training, after `prepareDriver()` where `prepare` is given. */
const embedding = `
import { createStop, explainError, loadPreset, prepareDriver, runPreset, silentLog } from 'reasongen';
import { defineReward, exitCodes } from 'reasongen/plugin';
import { linear, Tape } from 'reasongen/compute';
import { checkOp, kernelFiles } from 'reasongen/testing';
import manifest from 'reasongen/package.json' with { type: 'json' };

for (const each of [defineReward, linear, Tape, checkOp, kernelFiles])
  if (typeof each !== 'function') throw new Error('an entry exports something else');
if (exitCodes.done !== 0 || manifest.name !== 'reasongen') throw new Error('an entry exports something else');
const [runDirectory, prepare] = process.argv.slice(2);
try {
  if (prepare) console.log(await prepareDriver());
  const settings = ['steps=1', 'batch=2', 'examples=4'];
  const preset = await loadPreset(new URL(import.meta.resolve('reasongen/presets/nano/sft.yaml')).pathname, { settings });
  process.exitCode = await runPreset(preset, {
    runDirectory, resume: false, command: ['embed.mjs'], log: silentLog(), stop: createStop(), signal: new AbortController().signal,
  });
} catch (error) {
  const { code, hint, stack } = explainError(error);
  console.log(code, hint, stack);
  process.exitCode = 1;
}
`;

describe('packages that `create` writes', () => {
  const kinds = Object.keys(componentKinds) as (keyof typeof componentKinds)[];

  test('a reward: the command, its tests, its build, and a preset that names the built package', () => {
    const created = installed.node(process.execPath, [program, 'create', 'reward', 'shortest', '--no-install']);
    expect({ status: created.status, stderr: created.stderr.replaceAll(/^wrote .*\n/gm, '') }).toEqual({
      status: 0,
      stderr: '',
    });
    const place = join(installed.folder, 'reasongen-plugin-shortest');
    const compiled = installed.node(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', place]);
    expect({ status: compiled.status, stdout: compiled.stdout }).toEqual({ status: 0, stdout: '' });
    cpSync(place, join(installed.folder, 'node_modules/reasongen-plugin-shortest'), { recursive: true });
    const preset = [
      'name: built',
      'extends: reasongen/nano/grpo',
      'plugins: [reasongen-plugin-shortest]',
      'rewards: [shortest]',
    ];
    installed.write('built.yaml', `${preset.join('\n')}\n`);
    const checked = installed.node(process.execPath, [program, 'check', 'built.yaml']);
    expect(checked.stdout + checked.stderr).toContain('every option is valid');
    expect(installed.node(process.execPath, [program, 'plugins']).stdout).toMatch(
      /reasongen-plugin-shortest {2}0\.1\.0 .*\n {2}reward: shortest/,
    );
  });

  test('each kind type-checks, strictly and with the types of its libraries, and passes its own tests', () => {
    const settings = JSON.parse(template('tsconfig.json', {})) as { compilerOptions: Record<string, unknown> };
    for (const kind of kinds)
      for (const [name, text] of Object.entries(packageFiles(kind, `own-${kind}`, '0.1.0')))
        installed.write(`created/${kind}/${name}`, text);
    // One program for all of them, with the settings of each.
    const compilerOptions = { ...settings.compilerOptions, rootDir: '.', outDir: 'built', noEmit: true };
    installed.write('created/tsconfig.json', JSON.stringify({ compilerOptions, include: ['*/src'] }));
    const compiled = installed.node(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'created']);
    expect({ status: compiled.status, stdout: compiled.stdout }).toEqual({ status: 0, stdout: '' });
    const tests = kinds.map((kind) => `created/${kind}/src/index.test.ts`);
    const tested = installed.node(process.execPath, ['--import', 'reasongen/register', '--test', ...tests]);
    expect({ status: tested.status, failed: tested.status === 0 ? '' : tested.stdout + tested.stderr }).toEqual({
      status: 0,
      failed: '',
    });
  }, 600_000);
});

describe('types', () => {
  /** Compilers to try: that of this tree, or those that `npm run test:package` has fetched. */
  const compilers = process.env['REASONGEN_TEST_COMPILERS']?.split(':') ?? [
    join(root, 'node_modules/typescript/bin/tsc'),
  ];
  const pages = ['README.md', 'presets/README.md', 'plugins/README.md', 'kernels/README.md'];
  const blocks = pages.flatMap((page) => [
    ...readFileSync(join(root, page), 'utf8').matchAll(/^```ts\n\/\/ (mine\/\S+\.ts)\n([^]*?)^```$/gm),
  ]);

  test.each(
    compilers.flatMap(
      (compiler) =>
        [
          ['the types of a browser', compiler, []],
          ['those of node', compiler, ['--lib', 'es2023', '--types', 'node']],
        ] as const,
    ),
  )('the plugins of the pages and every entry compile without a mistake, with %s: %s', (_, compiler, libraries) => {
    expect(blocks.length).toBeGreaterThan(0);
    const plugins = blocks.map(([, name = '', text = '']) => installed.write(`pages/${name}`, text));
    const entries = installed.write(
      'pages/entries.ts',
      ['', '/plugin', '/compute', '/testing']
        .map((entry) => `export * as ${entry.slice(1) || 'index'} from 'reasongen${entry}';\n`)
        .join(''),
    );
    const files = [...plugins.filter((path) => !path.endsWith('.test.ts')), entries];
    const flags = ['--strict', '--module', 'nodenext', '--target', 'es2022', '--outDir', 'built', ...libraries];
    const { status, stdout } = installed.node(process.execPath, [compiler, ...flags, ...files]);
    expect({ status, stdout }).toEqual({ status: 0, stdout: '' });
    expect(existsSync(join(installed.folder, 'built/entries.js'))).toBe(true);
  });

  test.each([
    ['publint', ['publint/src/cli.js', 'run', '--strict']],
    ['attw', ['@arethetypeswrong/cli/dist/index.js', '--profile', 'esm-only', '--no-color']],
  ])('%s finds no mistake', (_, [script = '', ...flags]) => {
    const { status, stdout, stderr } = installed.node(process.execPath, [
      join(root, 'node_modules', script),
      ...flags,
      installed.tarball,
    ]);
    expect({ status, said: status === 0 ? '' : stdout + stderr }).toEqual({ status: 0, said: '' });
  });
});
