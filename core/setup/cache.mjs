import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The root of this package: the folder that holds package.json, above these sources or above what was built from them. */
export const packageRoot = rootAbove(dirname(fileURLToPath(import.meta.url)));

/** @param {string} folder @returns {string} */
function rootAbove(folder) {
  return existsSync(join(folder, 'package.json')) ? folder : rootAbove(dirname(folder));
}

/**
 * The folder for everything set-up makes outside the package: drivers, shader caches, the chosen adapter.
 * @param {NodeJS.ProcessEnv} env
 */
export function cacheDirectory(env = process.env) {
  if (env.REASONGEN_CACHE) return resolve(env.REASONGEN_CACHE);
  return join(env.XDG_CACHE_HOME || join(homeDirectory(env), '.cache'), 'reasongen');
}

/**
 * A user without an entry in the system's list, as in a container, has none unless HOME says so: '/' then, as Docker sets it.
 * @param {Readonly<Record<string, string | undefined>>} env
 */
export function homeDirectory(env) {
  if (env.HOME) return env.HOME;
  try {
    return homedir();
  } catch {
    return '/';
  }
}

/**
 * Compiled shaders hold machine code, and Mesa keys them neither by processor nor by vector width: each pair has a folder of its own,
 * so that a home directory shared by different machines stays safe.
 * @param {string} cache @param {{ kind: string, version: string }} driver @param {NodeJS.ProcessEnv} env
 */
export function shaderCacheDirectory(cache, driver, env = process.env) {
  const processor = existsSync('/proc/cpuinfo')
    ? (/^(flags|Features)\s*:.*$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[0] ?? '')
    : '';
  const key = createHash('sha256')
    .update(`${processor}\n${env.LP_NATIVE_VECTOR_WIDTH ?? ''}`)
    .digest('hex')
    .slice(0, 12);
  return join(cache, 'shaders', `${driver.kind}-${driver.version}-${key}`.replaceAll(/[^A-Za-z0-9.+-]/g, '_'));
}

/**
 * Runs `body` with a folder that is removed afterwards, also when ^C or a termination ends the process in between.
 * @template T @param {string} path made here, with its parents; what was there is removed @param {(path: string) => Promise<T>} body
 */
export async function withTemporaryFolder(path, body) {
  const remove = () => rmSync(path, { recursive: true, force: true });
  /** @type {NodeJS.Signals[]} */
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  const stop = (/** @type {NodeJS.Signals} */ signal) => {
    remove();
    for (const name of signals) process.off(name, stop);
    process.kill(process.pid, signal);
  };
  remove();
  mkdirSync(path, { recursive: true });
  for (const name of signals) process.on(name, stop);
  try {
    return await body(path);
  } finally {
    for (const name of signals) process.off(name, stop);
    remove();
  }
}

/**
 * Writes JSON under a temporary name and renames it, so that a reader never sees half a file.
 * @param {string} path @param {unknown} value
 */
export function writeJson(path, value) {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, `${JSON.stringify(value, null, 2)}\n`);
  renameSync(temporary, path);
}

/**
 * The parsed file, or undefined when it is absent or not JSON (a cache that cannot be read is made again).
 * @param {string} path @returns {any}
 */
export function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

/**
 * Renames a complete folder to its final name; another process that was faster wins.
 * @param {string} from @param {string} to
 */
export function renameUnlessThere(from, to) {
  try {
    renameSync(from, to);
  } catch (error) {
    if (!existsSync(to)) throw error;
  }
}
