/** The rules of the house, as tests: each failure says why the rule exists. */
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

interface SourceFile {
  readonly path: string;
  readonly text: string;
  /** Paths relative to the root for the tree's own modules, package names for others. */
  readonly imports: readonly string[];
}

function sourceFiles(folder: string, extension = '.ts'): SourceFile[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(extension) && !entry.parentPath.includes('node_modules'))
    .map((entry) => {
      const absolute = join(entry.parentPath, entry.name);
      const text = readFileSync(absolute, 'utf8');
      const statements = text.matchAll(/^(?:import|export)\s(?:[^;'"`]*?\sfrom\s*)?['"]([^'"\n]+)['"]/gm);
      const dynamic = text.matchAll(/\bimport\(\s*['"]([^'"\n]+)['"]\s*\)/g);
      const imports = [...statements, ...dynamic].map(([, specifier = '']) =>
        specifier.startsWith('.') ? relative(root, resolve(dirname(absolute), specifier)) : specifier,
      );
      return { path: relative(root, absolute), text, imports: [...new Set(imports)] };
    });
}

const core = sourceFiles('core');
const plugins = sourceFiles('plugins');

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
    hyparquet: (path) => path === 'plugins/caption-data/parquet.ts',
    'hyparquet-compressors': (path) => path === 'plugins/caption-data/parquet.ts',
    vega: (path) => path.startsWith('core/report/'),
    'vega-lite': (path) => path.startsWith('core/report/'),
    undici: (path) => path === 'core/request.ts',
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

describe('inside core a later folder may import an earlier one, never the reverse', () => {
  const layers = [
    'contracts',
    'tensor',
    'gpu',
    'autograd',
    'ops',
    'nn',
    'rl',
    'io',
    'preset',
    'recipes',
    'report',
    'commands',
  ];
  const layerOf = (path: string): number => layers.findIndex((layer) => path.startsWith(`core/${layer}/`));
  test.each(layers.filter((layer) => layer !== 'contracts'))('%s', (layer) => {
    const wrong = core
      .filter((file) => file.path.startsWith(`core/${layer}/`))
      .flatMap((file) => {
        const runtimeImports = file.text.matchAll(/^(?:import|export) (?!type)[^;]*?from '(\.[^']+)'/gm);
        return [...runtimeImports]
          .map(([, specifier = '']) => relative(root, resolve(dirname(join(root, file.path)), specifier)))
          .filter((target) => layerOf(target) > layers.indexOf(layer))
          .map((target) => `${file.path} imports ${target}`);
      });
    expect(wrong).toEqual([]);
  });
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
