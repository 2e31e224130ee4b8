// Mesa 26, whose lavapipe has cooperative matrices, in a root of its own in the cache, and Node started in it.
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheDirectory } from '../../core/setup/cache.mjs';
import { cachedFolder, unpackedLavapipe } from '../../core/setup/candidates.mjs';
import { SetupError } from '../../core/setup/failure.mjs';
import { unpackRoot } from '../../core/setup/lavapipe.mjs';
import { libraryFolders } from '../../core/setup/libraries.mjs';
import { driverEnvironment } from '../../core/setup/vulkan.mjs';

/** The release whose backports have it. */
const codename = 'trixie';

/** The dynamic loader of Debian by processor. @type {Readonly<Record<string, string>>} */
const loaders = { x64: 'x86_64-linux-gnu/ld-linux-x86-64.so.2', arm64: 'aarch64-linux-gnu/ld-linux-aarch64.so.1' };

/**
 * Fetches what is not there yet. The newest version that was ever fetched is kept to.
 * @param {{ env?: NodeJS.ProcessEnv, report?: (line: string) => void }} options
 * @returns {Promise<{ node: string, version: string, env: NodeJS.ProcessEnv }>} `node`: a program to be started instead of Node, in `env`
 * @throws {SetupError} when it cannot be had on this machine
 */
export async function matrixRoot({ env = process.env, report = () => {} } = {}) {
  const loader = loaders[process.arch];
  if (process.platform !== 'linux' || loader === undefined)
    throw unavailable(`there are no packages for ${process.platform} on ${process.arch}`);
  const cache = cacheDirectory(env);
  const prefix = `matrix-${codename}-${process.arch}-`;
  const destination = (/** @type {string} */ version) => join(cache, `${prefix}${version}`);
  const packages = ['mesa-vulkan-drivers', 'libvulkan1', 'libstdc++6'];
  mkdirSync(cache, { recursive: true });
  const folder = cachedFolder(cache, prefix) ?? (await unpackRoot({ packages, codename, destination, report }));
  const version = basename(folder).slice(prefix.length);
  const start = join(folder, 'usr/lib', loader);
  if (!existsSync(start)) throw unavailable(`${folder} holds no loader: rm -r ${folder}`);
  const candidate = unpackedLavapipe(folder, version);
  const node = join(folder, `node-${process.version}`, 'node');
  writeStarter(node, start, libraryFolders(folder));
  // The loader knows the folders: with LD_LIBRARY_PATH, programs of the system would meet libraries of another release.
  const driver = { ...candidate, folders: [], description: `lavapipe of Mesa ${version}`, why: 'it has matrices' };
  const { LD_LIBRARY_PATH: _, MESA_SHADER_CACHE_DIR: __, ...rest } = env;
  return { node, version, env: { ...rest, ...driverEnvironment(driver, rest), REASONGEN_MATRIX_NODE: node } };
}

/** A script that starts this very Node through the loader of the root. @param {string} path @param {string} loader @param {string[]} folders */
function writeStarter(path, loader, folders) {
  const quoted = (/** @type {string} */ text) => `'${text.replaceAll("'", `'\\''`)}'`;
  const preload = fileURLToPath(new URL('own-path.cjs', import.meta.url));
  const words = [
    loader,
    '--library-path',
    folders.join(':'),
    '--argv0',
    'node',
    process.execPath,
    '--require',
    preload,
  ];
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, `#!/bin/sh\nexec ${words.map(quoted).join(' ')} "$@"\n`);
  chmodSync(path, 0o755);
}

/** @param {string} why */
function unavailable(why) {
  return new SetupError({
    code: 'LAVAPIPE_UNAVAILABLE',
    message: `Mesa 26 cannot be had here: ${why}`,
    hint: 'run it on Debian, on x64 or arm64, with the archive in reach; or on a machine whose own driver has matrices',
  });
}
