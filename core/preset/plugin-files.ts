/** The files a plugin consists of: a run keeps a copy of them, so that it can be gone on with wherever it is moved. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, extname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../../', import.meta.url));
/** Belongs to the program, whose version a run records. */
const own = ['core', 'plugins', 'kernels', 'dist'].map((name) => join(program, name) + sep);

const isCode = /\.[cm]?[jt]sx?$/;
/** What an import may leave out. */
const endings = ['', '.ts', '.tsx', '.mts', '.js', '.mjs', '.cjs', '.json', '/index.ts', '/index.js'];
/** TypeScript lets the name of what will be compiled stand for the source. */
const sources: Readonly<Record<string, readonly string[]>> = {
  '.js': ['.ts', '.tsx'],
  '.jsx': ['.tsx'],
  '.mjs': ['.mts'],
  '.cjs': ['.cts'],
};

/**
 * The file itself and everything that it or one of its files names by a relative path in quotes: what they import, and what they read
 * beside themselves. Installed packages and the program's own files are not among them.
 */
export function filesOfPlugin(plugin: string): PluginFiles {
  // As Node loads it: what is named through a link sees its neighbors from where it really lies.
  const file = realpathSync(plugin);
  const found = new Set<string>();
  let isPartOfProgram = own.some((folder) => file.startsWith(folder));
  const visit = (path: string): void => {
    if (found.has(path)) return;
    found.add(path);
    if (!isCode.test(path)) return;
    for (const [, , specifier = ''] of readFileSync(path, 'utf8').matchAll(/(["'`])(\.{1,2}\/[^"'`\n$]+)\1/g)) {
      const target = existing(resolve(dirname(path), specifier));
      if (target === undefined) continue;
      if (own.some((folder) => target.startsWith(folder))) isPartOfProgram = true;
      else visit(target);
    }
  };
  visit(file);
  const files = [...found].sort();
  return { file, files, folder: commonFolder(files), isPartOfProgram };
}

export interface PluginFiles {
  /** The plugin's own, links followed. */
  readonly file: string;
  /** Absolute, sorted. */
  readonly files: readonly string[];
  /** The nearest folder that holds them all. */
  readonly folder: string;
  /** True where one of them names files of the program itself by path: such a plugin works in this tree only. */
  readonly isPartOfProgram: boolean;
}

function existing(path: string): string | undefined {
  const ending = extname(path);
  const swapped = (sources[ending] ?? []).map((source) => path.slice(0, -ending.length) + source);
  return [...endings.map((each) => path + each), ...swapped].find(
    (each) => existsSync(each) && statSync(each).isFile(),
  );
}

function commonFolder(files: readonly string[]): string {
  let folder = dirname(files[0] ?? '/');
  while (!files.every((file) => file.startsWith(folder === sep ? sep : folder + sep))) folder = dirname(folder);
  return folder;
}

/** sha256 of the content of all files of a plugin with their places among each other: that of a copy is that of the original. */
export function hashOfPlugin(file: string): string {
  const { files, folder } = filesOfPlugin(file);
  const hash = createHash('sha256');
  for (const each of files)
    hash
      .update(`${relative(folder, each)}\0`)
      .update(readFileSync(each))
      .update('\0');
  return hash.digest('hex');
}

/** In a run directory: copies of its plugins, each in a folder of its own by number, and where each came from. */
export const copiesFolder = 'plugins';
export const originsFile = 'origins.json';

/** Where a copied plugin came from. */
export interface PluginOrigin {
  /** The file the preset named. */
  readonly file: string;
  /** What its copies lie in a copy of. */
  readonly folder: string;
}

/** Where the copies of plugins go in the directory of a run, by the files they are made from. */
export function copiesOfPlugins(plugins: readonly string[], directory: string): Map<string, string> {
  const copies = new Map<string, string>();
  for (const plugin of plugins) {
    if (!plugin.startsWith('/') || copies.has(plugin)) continue;
    const { file, folder, isPartOfProgram } = filesOfPlugin(plugin);
    if (!isPartOfProgram)
      copies.set(plugin, join(directory, copiesFolder, String(copies.size + 1), relative(folder, file)));
  }
  return copies;
}

/** The file a copy in the directory of a run was made from; undefined for any other file. */
export function originOfCopy(file: string): string | undefined {
  const [, run = '', number = ''] = /^(.*)\/plugins\/(\d+)\//.exec(file) ?? [];
  const origins = run === '' ? {} : readOrigins(run);
  return origins[number]?.file;
}

export function readOrigins(directory: string): Readonly<Record<string, PluginOrigin>> {
  try {
    return JSON.parse(readFileSync(join(directory, copiesFolder, originsFile), 'utf8')) as Record<string, PluginOrigin>;
  } catch {
    return {};
  }
}
