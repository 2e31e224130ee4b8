/**
 * Module hooks for plugins written in TypeScript and for the copies of plugins that runs keep. Every file is compiled by itself as an ES module, whatever `type` its package has, with
 * the nearest tsconfig.json above it: decorators, class fields and `paths` mean what they mean in the author's editor. Sources of this
 * program are left to whatever loaded them.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, extname, join, resolve as resolvePath } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { transform } from 'esbuild';
import { createPathsMatcher, getTsconfig } from 'get-tsconfig';

const typescript = /\.[cm]?tsx?$/;
/** What a specifier may leave out, in the order of preference. */
const endings = ['', '.ts', '.tsx', '.mts', '.js', '.mjs', '.json', '/index.ts', '/index.js'];
/** The names TypeScript wants imported, and the files it means. */
const sourcesOf = { '.js': ['.ts', '.tsx'], '.jsx': ['.tsx'], '.mjs': ['.mts'], '.cjs': ['.cts'] };

const root = new URL('../../', import.meta.url).href;
const own = [`${root}core/`, `${root}plugins/`];

/** What get-tsconfig has read. @type {Map<string, any>} */
const files = new Map();

/** @param {string | undefined} url @returns {string | undefined} the path of a plugin's TypeScript file */
function pluginFile(url) {
  if (!url?.startsWith('file:') || own.some((folder) => url.startsWith(folder))) return undefined;
  const path = fileURLToPath(url);
  return typescript.test(path) ? path : undefined;
}

/** @type {import('node:module').ResolveHook} */
export async function resolve(specifier, context, next) {
  const original = originalOf(context.parentURL);
  // The program that loads the plugin, and no second copy of it.
  if ((original ?? pluginFile(context.parentURL)) !== undefined && /^reasongen(\/|$)/.test(specifier))
    return next(specifier, { ...context, parentURL: import.meta.url });
  try {
    return await resolveHere(specifier, context, next);
  } catch (error) {
    // A package that is installed where the copy was made from.
    if (original === undefined) throw error;
    return resolveHere(specifier, { ...context, parentURL: pathToFileURL(original).href }, next);
  }
}

/** @type {import('node:module').ResolveHook} */
async function resolveHere(specifier, context, next) {
  const parent = pluginFile(context.parentURL);
  if (parent === undefined) return next(specifier, context);
  const file = candidates(specifier, parent).map(existing).find(Boolean);
  if (file === undefined) return next(specifier, context);
  if (extname(file) === '.json')
    return { url: pathToFileURL(file).href, format: 'json', importAttributes: { type: 'json' }, shortCircuit: true };
  return next(pathToFileURL(file).href, context);
}

/** @type {import('node:module').LoadHook} */
export async function load(url, context, next) {
  const path = pluginFile(url);
  if (path === undefined) return next(url, context);
  const { code } = await transform(readFileSync(path, 'utf8'), {
    loader: path.endsWith('x') ? 'tsx' : 'ts',
    format: 'esm',
    target: `node${process.versions.node}`,
    sourcefile: path,
    sourcemap: 'inline',
    tsconfigRaw: { compilerOptions: tsconfigOf(path)?.config.compilerOptions ?? {} },
  });
  return { format: 'module', source: code, shortCircuit: true };
}

/** @param {string} path */
function tsconfigOf(path) {
  return getTsconfig(dirname(originalOf(pathToFileURL(path).href) ?? path), 'tsconfig.json', files);
}

/** The file that one of the copies in the directory of a run was made from (`plugin-files.ts`). @param {string | undefined} url */
function originalOf(url) {
  if (!url?.startsWith('file:')) return undefined;
  const [, folder = '', number = '', inside = ''] = /^(.*\/plugins)\/(\d+)\/(.+)$/.exec(fileURLToPath(url)) ?? [];
  const origins = join(folder, 'origins.json');
  if (folder === '' || !existsSync(origins)) return undefined;
  const origin = JSON.parse(readFileSync(origins, 'utf8'))[number]?.folder;
  return typeof origin === 'string' ? join(origin, inside) : undefined;
}

/** Paths a specifier may stand for, without what may be left out; none for a package. @param {string} specifier @param {string} parent */
function candidates(specifier, parent) {
  if (specifier.startsWith('file:')) return [fileURLToPath(specifier)];
  if (/^\.{0,2}\//.test(specifier) || /^\.{1,2}$/.test(specifier)) return [resolvePath(dirname(parent), specifier)];
  const tsconfig = tsconfigOf(parent);
  return (tsconfig && createPathsMatcher(tsconfig)?.(specifier)) ?? [];
}

/** @param {string} path @returns {string | undefined} */
function existing(path) {
  const ending = /** @type {keyof typeof sourcesOf} */ (extname(path));
  const sources = (sourcesOf[ending] ?? []).map((source) => path.slice(0, -ending.length) + source);
  return [...endings.map((added) => path + added), ...sources].find(
    (file) => existsSync(file) && statSync(file).isFile(),
  );
}
