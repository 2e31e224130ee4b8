/** The rules of the house, as tests: each failure says why the rule exists. */
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, test } from 'vitest';
import { deviceCommands } from '../core/setup/reasongen.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));

interface SourceFile {
  readonly path: string;
  readonly text: string;
  /** Paths relative to the root for the tree's own modules, package names for others. */
  readonly imports: readonly string[];
  /** Those of them that are more than types. */
  readonly runtimeImports: readonly string[];
}

function sourceFiles(folder: string, extension = '.ts'): SourceFile[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(extension) && !entry.parentPath.includes('node_modules'))
    .map((entry) => {
      const absolute = join(entry.parentPath, entry.name);
      const text = readFileSync(absolute, 'utf8');
      const statements = [
        ...text.matchAll(/^(?:import|export)\s(?<clause>[^;'"`]*?\sfrom\s*)?['"](?<specifier>[^'"\n]+)['"]/gm),
        ...text.matchAll(/\bimport\(\s*['"](?<specifier>[^'"\n]+)['"]\s*\)/g),
      ].map(({ groups }) => ({
        isType: groups?.['clause']?.startsWith('type ') ?? false,
        target: targetOf(absolute, groups?.['specifier'] ?? ''),
      }));
      const all = (wanted: typeof statements): string[] => [...new Set(wanted.map(({ target }) => target))];
      return {
        path: relative(root, absolute),
        text,
        imports: all(statements),
        runtimeImports: all(statements.filter(({ isType }) => !isType)),
      };
    });
}

function targetOf(file: string, specifier: string): string {
  return specifier.startsWith('.') ? relative(root, resolve(dirname(file), specifier)) : specifier;
}

const core = sourceFiles('core');
const plugins = [...sourceFiles('plugins'), ...sourceFiles('plugins', '.mjs')];

test('the tree was read', () => {
  expect(core.length).toBeGreaterThan(30);
  expect(plugins.length).toBeGreaterThan(5);
});

describe('each third-party package has one importer, so that an upgrade touches one place', () => {
  const owners: Record<string, (path: string) => boolean> = {
    tapable: (path) => path === 'core/hooks.ts',
    inversify: (path) => path === 'core/container.ts',
    yaml: (path) => path.startsWith('core/preset/'),
    zod: (path) => path.startsWith('core/preset/'),
    webgpu: (path) => path.startsWith('core/gpu/'),
    sharp: (path) => path === 'core/io/image.ts',
    commander: (path) => path === 'core/cli.ts' || path.startsWith('core/cli/'),
    'cli-progress': (path) => path === 'core/log.ts' || path.startsWith('core/log/'),
    hyparquet: (path) => path === 'plugins/caption-data/parquet-worker.mjs',
    'onnxruntime-node': (path) => path === 'plugins/onnx/worker.mjs',
    'hyparquet-compressors': (path) => path === 'plugins/caption-data/parquet-worker.mjs',
    esbuild: (path) => path === 'core/report/document.ts',
    bullmq: (path) => path === 'plugins/bullmq/library.ts',
    koffi: (path) => path === 'plugins/mpi/library.ts',
    ioredis: (path) => path === 'plugins/bullmq/library.ts',
    openai: (path) => path === 'plugins/chat-judge/endpoint.ts',
    undici: (path) => path === 'core/request.ts',
    '@huggingface/jinja': (path) => path === 'plugins/qwen-vl/chat.ts',
    hono: (path) => path === 'core/watch/server.ts' || path === 'core/serve/app.ts',
    '@hono/node-server': (path) => path === 'core/listen.ts',
    '@huggingface/tokenizers': (path) => path === 'core/io/tokenizer-file.ts',
  };
  test.each(Object.keys(owners))('%s', (name) => {
    const importers = [...core, ...plugins].filter((file) =>
      file.imports.some((item) => item === name || item.startsWith(`${name}/`)),
    );
    const strangers = importers.filter((file) => !owners[name]?.(file.path)).map((file) => file.path);
    expect(strangers).toEqual([]);
  });

  test('no package is used without being listed here', () => {
    const outside = [...core, ...plugins].flatMap((file) =>
      file.imports
        .filter((item) => !/^(core|plugins|node:)/.test(item) && !item.startsWith('#'))
        .map((item) => `${file.path}: ${item}`),
    );
    const unknown = outside.filter(
      (line) => !Object.keys(owners).some((name) => line.endsWith(`: ${name}`) || line.includes(`: ${name}/`)),
    );
    expect(unknown).toEqual([]);
  });
});

/** Folders and files at the root of core, from the bottom to the top. `setup` is plain Node and stands below everything. */
const layers = [
  ...[
    'setup',
    'environment.ts',
    'contracts',
    'scrub.ts',
    'once.ts',
    'frozen.ts',
    'errors.ts',
    'unexpanded.ts',
    'driver.ts',
    'waiting.ts',
    'blame.ts',
    'stray.ts',
    'supervisor.ts',

    'log.ts',
    'keys.ts',
    'access.ts',
    'listen.ts',
    'forked.ts',
    'faults.ts',
    'try-again.ts',
    'call-tally.ts',
    'request.ts',
    'answered.ts',
    'stop.ts',
    'ranks',
    'tensor',
    'gpu',
    'autograd',
    'ops',
    'half-trial.ts',
    'tune.ts',
    'tried-op.ts',
    'convolution-trial.ts',

    'attention-trial.ts',
    'matrix-trial.ts',
    'compile-ahead.ts',
    'nn',
    'rl',
    'io',
    'failure.ts',
    'judging',
  ],
  ...[
    'preset',
    'questions',
    'workers',
    'plugin.ts',
    'component-shape.ts',
    'published-model.ts',
    'container.ts',
    'components.ts',
    'hook-results.ts',
    'hooks.ts',
  ],
  ...['weights', 'models', 'drawing', 'evaluation', 'data', 'training', 'serve', 'recipes'],
  ...[
    'plan.ts',
    'plan-stage.ts',
    'cluster',
    'page',
    'report',
    'sweep',
    'run-inputs.ts',
    'run-requests.ts',
    'reward-files.ts',
    'run.ts',
    'judge-process.ts',
    'ranks-of-run.ts',
    'runtime.ts',
    'testing',
    'watch',
    'commands',
    'cli',
  ],
  ...['compute.ts', 'testing.ts', 'index.ts', 'cli.ts'],
];

function layerOf(path: string): number {
  const [, first = ''] = path.split('/');
  return layers.indexOf(first);
}

describe('inside core a later layer may import an earlier one, never the reverse: what is below can be read alone', () => {
  test('every file is in a layer', () => {
    expect(core.filter(({ path }) => layerOf(path) < 0).map(({ path }) => path)).toEqual([]);
  });

  test.each(layers)('%s', (layer) => {
    const wrong = core
      .filter(({ path }) => layerOf(path) === layers.indexOf(layer))
      .flatMap(({ path, runtimeImports }) =>
        runtimeImports
          .filter((target) => target.startsWith('core/') && layerOf(target) > layerOf(path))
          .map((target) => `${path} imports ${target}`),
      );
    expect(wrong).toEqual([]);
  });

  test('no files import each other in a circle, types included: each can be understood after those it names', () => {
    expect(circles([...core, ...plugins])).toEqual([]);
  });

  test('the author barrel core/plugin.ts is for recipes and plugins: the rest of core names the file it means', () => {
    const allowed = (path: string): boolean => path.startsWith('core/recipes/');
    const wrong = core.filter(({ path, imports }) => imports.includes('core/plugin.ts') && !allowed(path));
    expect(wrong.map(({ path }) => path)).toEqual([]);
  });
});

/** Files that reach themselves, each circle once (strongly connected components, Tarjan 1972). */
function circles(files: readonly SourceFile[]): string[][] {
  const importsOf = new Map(files.map(({ path, imports }) => [path, imports]));
  const order = new Map<string, number>();
  const lowest = new Map<string, number>();
  const stack: string[] = [];
  const found: string[][] = [];
  const visit = (path: string): void => {
    order.set(path, order.size);
    lowest.set(path, order.size - 1);
    stack.push(path);
    for (const target of importsOf.get(path) ?? []) {
      if (!importsOf.has(target)) continue;
      if (!order.has(target)) visit(target);
      if (stack.includes(target)) lowest.set(path, Math.min(lowest.get(path)!, lowest.get(target)!));
    }
    if (lowest.get(path) !== order.get(path)) return;
    const members = stack.splice(stack.indexOf(path));
    if (members.length > 1) found.push(members.toSorted());
  };
  for (const path of importsOf.keys()) if (!order.has(path)) visit(path);
  return found;
}

test('exported names are unique, so that a name means one thing wherever it is read', () => {
  const places = new Map<string, string[]>();
  for (const { path, text } of [...core, ...plugins])
    for (const [, name = ''] of text.matchAll(
      /^export (?:abstract )?(?:async )?(?:interface|type|class|function\*?|const|let) ([A-Za-z0-9_]+)/gm,
    ))
      places.set(name, [...(places.get(name) ?? []), path]);
  const twice = [...places].filter(([, paths]) => paths.length > 1);
  expect(twice).toEqual([]);
});

test('a command that may open a device is started with the driver of the machine: elsewhere than in these tests nothing else would find it', () => {
  const byPath = new Map(core.map((file) => [file.path, file]));
  const reaches = (path: string, target: string, seen = new Set<string>()): boolean => {
    if (path === target) return true;
    if (seen.has(path)) return false;
    seen.add(path);
    return (byPath.get(path)?.runtimeImports ?? []).some((next) => reaches(next, target, seen));
  };
  const opening = core
    .filter(({ path }) => path.startsWith('core/cli/'))
    .flatMap(({ text }) => text.split(/(?=\.command\(')/))
    .flatMap((text) => {
      const [, name] = /^\.command\('([\w-]+)/.exec(text) ?? [];
      const modules = [...text.matchAll(/import\('\.\.\/(commands\/[\w-]+\.ts)'\)/g)].map(([, path]) => `core/${path}`);
      return name !== undefined && modules.some((path) => reaches(path, 'core/tune.ts')) ? [name] : [];
    });
  expect(opening.length).toBeGreaterThan(5);
  expect(deviceCommands).toEqual(expect.arrayContaining(opening));
});

describe('plugins see the author API only, so that core may change behind it', () => {
  test('plugins import core/plugin.ts and core/compute.ts, their own files, and nothing of each other', () => {
    const wrong = plugins.flatMap((file) => {
      const own = file.path.split('/').slice(0, 2).join('/');
      return file.imports
        .filter((item) => item.startsWith('core/') || item.startsWith('plugins/'))
        .filter((item) => item !== 'core/plugin.ts' && item !== 'core/compute.ts' && !item.startsWith(`${own}/`))
        .map((item) => `${file.path} imports ${item}`);
    });
    expect(wrong).toEqual([]);
  });
});

test('what is installed with the package is used by it', () => {
  const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    readonly dependencies: Readonly<Record<string, string>>;
  };
  const files = [...core, ...plugins, ...sourceFiles('core', '.mjs')];
  // Files of a package that are handed on as they are.
  const sent = files.flatMap(({ text }) =>
    [...text.matchAll(/require\.resolve\('([^']+)'\)/g)].map(([, name = '']) => name),
  );
  const imported = [...files.flatMap((file) => file.imports), ...sent];
  const unused = Object.keys(dependencies).filter(
    (name) => !imported.some((item) => item === name || item.startsWith(`${name}/`)),
  );
  expect(unused).toEqual([]);
});

test('variables of the process are read in one place, so that who embeds or tests the program can give others', () => {
  const readers = [...core, ...plugins].filter(
    ({ path, text }) => !path.startsWith('core/setup/') && /\bprocess\.env\b/.test(text),
  );
  expect(readers.map(({ path }) => path)).toEqual(['core/environment.ts']);
});

test('what changes files goes through core/io/files.ts, so that the walk of all faults meets it', () => {
  const effects =
    /\b(appendFile|copyFile|link|mkdir|rename|rm|rmdir|symlink|truncate|unlink|writeFile|appendFileSync|copyFileSync|fdatasyncSync|ftruncateSync|mkdirSync|renameSync|rmSync|writeFileSync|writeSync)\b/;
  // Signs of life of a lock, and what is built before any package is there, decide nothing about a run.
  const exempt = /^core\/(faults|io\/(files|faulty-files)|setup\/.*)\.ts$/;
  const wrong = core.filter(({ path, text }) => {
    const imported = [...text.matchAll(/^import \{([^}]*)\} from 'node:fs(?:\/promises)?';/gm)];
    return !exempt.test(path) && imported.some(([, names = '']) => effects.test(names));
  });
  expect(wrong.map(({ path }) => path)).toEqual([]);
});

test('lines that grow are added by JsonLines, which knows what a kill leaves of the last one', () => {
  const wrong = core.filter(
    ({ path, text }) =>
      /\bappendFile\b/.test(text) && !path.startsWith('core/io/') && path !== 'core/judging/answer-cache.ts',
  );
  expect(wrong.map(({ path }) => path)).toEqual([]);
});

test('contracts hold interfaces only', () => {
  const wrong = core.filter(
    (file) => file.path.startsWith('core/contracts/') && /^export (?:class|function|const|let)/m.test(file.text),
  );
  expect(wrong.map((file) => file.path)).toEqual([]);
});

test('replace and replaceAll take a literal or a function: in any other text, $& and its like would be patterns', () => {
  const isPlain = (node: ts.Expression | undefined): boolean =>
    node === undefined ||
    ts.isStringLiteral(node) ||
    ts.isNoSubstitutionTemplateLiteral(node) ||
    ts.isArrowFunction(node) ||
    (ts.isTaggedTemplateExpression(node) && ts.isNoSubstitutionTemplateLiteral(node.template));
  const wrong: string[] = [];
  for (const { path, text } of [...core, ...plugins]) {
    if (!/\.replace(All)?\(/.test(text)) continue;
    const visit = (node: ts.Node): void => {
      if (
        ts.isCallExpression(node) &&
        ts.isPropertyAccessExpression(node.expression) &&
        /^replace(All)?$/.test(node.expression.name.text) &&
        !isPlain(node.arguments[1])
      )
        wrong.push(`${path}: ${node.getText()}`);
      ts.forEachChild(node, visit);
    };
    visit(ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true));
  }
  expect(wrong).toEqual([]);
});

test('no module keeps mutable state, except the pinned Dawn instance: two runtimes in one process must work', () => {
  const wrong = [...core, ...plugins].filter(
    (file) => file.path !== 'core/gpu/dawn.ts' && /^(?:export )?let /m.test(file.text),
  );
  expect(wrong.map((file) => file.path)).toEqual([]);
});

test('kernels are files of WGSL, and every folder of kernels holds nothing else; one page explains them all', () => {
  const strangers = readdirSync(join(root, 'kernels'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.wgsl'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)));
  expect(strangers).toEqual(['kernels/README.md']);
  const inline = [...core, ...plugins].filter((file) => /@compute|@workgroup_size/.test(file.text));
  expect(inline.map((file) => file.path)).toEqual([]);
});

test('every kernel is named whole where it is launched, in a comment where its name is put together: a search finds both', () => {
  const texts = [...core, ...plugins].map(({ text }) => text);
  const kernels = readdirSync(join(root, 'kernels'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.wgsl') && !path.startsWith('lib/'))
    .map((path) => path.replace(/\.wgsl$/, ''));
  const isNamed = (kernel: string): boolean => texts.some((text) => new RegExp(`${kernel}(?![\\w-])`).test(text));
  expect(kernels.filter((kernel) => !isNamed(kernel))).toEqual([]);
});

test('the top level holds what was agreed and tools’ own dot-files only', () => {
  const allowed = new Set([
    'package.json',
    'package-lock.json',
    'tsconfig.json',
    'core',
    'plugins',
    'kernels',
    'presets',
    'test',
    'README.md',
    'LICENSE',
    'CHANGELOG.md',
    'CONTRIBUTING.md',
    'SECURITY.md',
  ]);
  const ignored = new Set(['node_modules', 'runs', 'out', 'dist']);
  const strangers = readdirSync(root).filter(
    (name) => !name.startsWith('.') && !allowed.has(name) && !ignored.has(name),
  );
  expect(strangers).toEqual([]);
});

test('the lock file names no download addresses', () => {
  expect(readFileSync(join(root, 'package-lock.json'), 'utf8')).not.toMatch(/"resolved":\s*"https?:/);
});
