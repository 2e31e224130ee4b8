#!/usr/bin/env node
// Builds what the package holds into `dist/`: JavaScript beside everything it finds by relative address, and the declarations its entries reach.
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { packageRoot, readJson } from './cache.mjs';
import { exitWith, isMain, SetupError } from './failure.mjs';
import { launch } from './launch.mjs';

const output = join(packageRoot, 'dist');
/** Files whose names end so are compiled, or are records that nothing reads; all others are copied. */
const notCopied = /\.(ts|mjs|md)$|tsconfig\.json$|plugins\/.*\.ndjson$|presets\/.*\.png$/;
/** What only a clone is worked on with. */
const cloneOnly = [
  'bin',
  ...['build', 'check', 'manifest', 'pack', 'quickstart', 'setup', 'test'].map((name) => `setup/${name}`),
];
const declaration = /\.d\.m?ts$/;

/** @throws {SetupError} when the sources do not compile */
export async function build() {
  rmSync(output, { recursive: true, force: true });
  // Emits only: types are checked by `npm run check`.
  const tsc = join(packageRoot, 'node_modules', 'typescript', 'bin', 'tsc');
  const project = join(packageRoot, 'core', 'setup', 'build.tsconfig.json');
  if ((await launch(process.execPath, [tsc, '-p', project], { cwd: packageRoot })) !== 0)
    throw new SetupError({ code: 'BUILD_FAILED', message: 'tsc could not build the sources', hint: 'npm run check' });
  for (const folder of ['core', 'plugins', 'kernels', 'presets'])
    cpSync(join(packageRoot, folder), join(output, folder), {
      recursive: true,
      filter: (path) => !notCopied.test(path),
    });
  for (const name of cloneOnly) rmSync(join(output, 'core', `${name}.mjs`));
  const entries = Object.values(readJson(join(packageRoot, 'package.json')).exports)
    .filter((/** @type {string} */ path) => /^\.\/core\/.*s$/.test(path))
    .map((/** @type {string} */ path) => join(output, path.replace(/\.ts$/, '.d.ts').replace(/\.mjs$/, '.d.mts')));
  keepDeclarations(entries);
}

/** Removes declarations that no entry reaches, and makes the others independent of the types around them. @param {string[]} entries */
function keepDeclarations(entries) {
  const ambient = join(output, 'core', 'ambient.d.ts');
  cpSync(join(packageRoot, 'core', 'setup', 'ambient.d.ts'), ambient);
  const names = [...readFileSync(ambient, 'utf8').matchAll(/^export type (\w+)/gm)].map(([, name = '']) => name);
  const reached = reachedFrom(entries);
  for (const path of filesOf(output).filter((file) => declaration.test(file) && file !== ambient)) {
    if (!reached.has(path)) rmSync(path);
    else {
      const text = readFileSync(path, 'utf8')
        // tsc renames imports in JavaScript only.
        .replaceAll(/((?:from|import\() ?['"]\.[^'"]*)\.ts(?=['"])/g, '$1.js')
        // Where node's types are not installed, what is made of them is `any`.
        .replaceAll(/^(?=import .* from ['"]node:)/gm, '// @ts-ignore\n');
      const used = names.filter((name) => new RegExp(`\\b${name}\\b`).test(withoutComments(text)));
      const from = relative(dirname(path), ambient).replace(/\.d\.ts$/, '.js');
      const line = `import type { ${used.join(', ')} } from '${from.startsWith('.') ? from : `./${from}`}';\n`;
      writeFileSync(path, used.length > 0 ? line + text : text);
    }
  }
}

/** @param {string[]} entries @returns {Set<string>} */
function reachedFrom(entries) {
  const reached = new Set(entries);
  for (const path of reached) {
    for (const [, specifier = ''] of readFileSync(path, 'utf8').matchAll(/(?:from|import\()\s*['"](\.[^'"]+)['"]/g)) {
      const target = resolve(dirname(path), specifier.replace(/js$/, 'ts').replace(/(\.m?ts)$/, '.d$1'));
      if (!existsSync(target)) throw new Error(`${path}: there is no ${target}`);
      reached.add(target);
    }
  }
  return reached;
}

/** @param {string} text */
function withoutComments(text) {
  return text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
}

/** @param {string} folder @returns {string[]} */
function filesOf(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

if (isMain(import.meta.url))
  await exitWith(async () => {
    await build();
    return 0;
  });
