import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * Files of a folder (not below it) whose name matches, sorted; none when there is no such folder.
 * @param {string} folder @param {RegExp} name
 */
export function findFiles(folder, name) {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return [];
  return readdirSync(folder)
    .filter((entry) => name.test(entry))
    .sort()
    .map((entry) => join(folder, entry));
}

/**
 * Folders at or below `root` that hold shared libraries a program may need by name.
 * @param {string} root
 */
export function libraryFolders(root) {
  const folders = ['usr/lib', 'lib', 'usr/lib64', 'lib64', 'usr/local/lib']
    .map((name) => join(root, name))
    .filter((folder) => existsSync(folder) && !lstatSync(folder).isSymbolicLink());
  const below = folders.flatMap((folder) =>
    readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && /-linux-gnu/.test(entry.name))
      .map((entry) => join(folder, entry.name)),
  );
  return [...below, ...folders].filter((folder) => readdirSync(folder).some((name) => /\.so(\.|$)/.test(name)));
}

/**
 * Names of libraries that the libraries under `root` need and that neither it nor the system has.
 * @param {string} root
 */
export function missingLibraries(root) {
  const folders = libraryFolders(root);
  const libraries = folders.flatMap((folder) => findFiles(folder, /^lib(vulkan_lvp\.so|vulkan\.so\.1)$/));
  /** @type {Set<string>} */
  const missing = new Set();
  for (const library of libraries) {
    for (const [, name = ''] of linkage(library, folders).matchAll(/^\s*(\S+) => not found$/gm)) missing.add(name);
  }
  return [...missing];
}

/**
 * Paths of the libraries that one is linked to, directly or not, where `folders` are searched first.
 * @param {string} library @param {string[]} folders
 */
export function linkedLibraries(library, folders) {
  return [...linkage(library, folders).matchAll(/ => (\/\S+) \(/g)].map(([, path = '']) => path);
}

/** @param {string} library @param {string[]} folders */
function linkage(library, folders) {
  return execFileSync('ldd', [library], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C', LD_LIBRARY_PATH: folders.join(':') },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}

/** Folders the dynamic linker of a usual distribution searches, and those of NVIDIA's containers. */
const systemFolders = [
  'usr/lib/x86_64-linux-gnu',
  'usr/lib/aarch64-linux-gnu',
  'lib/x86_64-linux-gnu',
  'lib/aarch64-linux-gnu',
  'usr/lib64',
  'usr/lib',
  'lib64',
  'lib',
  'usr/local/lib',
  'usr/local/nvidia/lib64',
  'usr/lib/wsl/lib',
];

/**
 * The path of a library of this system, by its name.
 * @param {string} name for example `libvulkan.so.1` @param {string} root @param {NodeJS.ProcessEnv} env
 */
export function findLibrary(name, root = '/', env = process.env) {
  const own = (env.LD_LIBRARY_PATH ?? '').split(':').filter(Boolean);
  return [...own, ...systemFolders.map((folder) => join(root, folder))]
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));
}

/**
 * LD_LIBRARY_PATH with `folders` in front.
 * @param {string[]} folders @param {NodeJS.ProcessEnv} env
 */
export function libraryPath(folders, env = process.env) {
  const present = (env.LD_LIBRARY_PATH ?? '').split(':').filter(Boolean);
  return [...new Set([...folders, ...present])].join(':');
}

/** The folder of a library, where the dynamic linker would not look for it by itself. @param {string} path */
export function folderToAdd(path) {
  const folder = dirname(path);
  return /^\/(usr\/)?lib(64)?(\/|$)/.test(folder) ? [] : [folder];
}
