import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { readJson } from './cache.mjs';
import { linkedLibraries } from './libraries.mjs';
import { driverEnvironment } from './vulkan.mjs';

/** @typedef {import('./vulkan.mjs').Driver} Driver */

/**
 * Lets the Vulkan loader of this very process find a driver. The loader reads its variables when it is started, but the dynamic linker has
 * read LD_LIBRARY_PATH already: what the driver needs from its own folders is opened here, and is then found by name.
 * @param {Driver} driver
 */
export function adoptDriver(driver) {
  Object.assign(process.env, driverEnvironment(driver));
  let waiting = ownLibraries(driver);
  for (let before = Infinity; waiting.length < before;) {
    before = waiting.length;
    // One that needs another of them opens once that is there.
    waiting = waiting.filter((library) => !openLibrary(library));
  }
}

/** The Vulkan loader and the driver, with all they are linked to, as far as they lie in folders of the driver. @param {Driver} driver */
function ownLibraries({ files, folders }) {
  if (folders.length === 0) return [];
  const find = (/** @type {string} */ name) =>
    folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
  const drivers = files.flatMap((file) => {
    const path = readJson(file)?.ICD?.library_path;
    if (typeof path !== 'string') return [];
    return path.includes('/') ? resolve(dirname(file), path) : (find(path) ?? []);
  });
  const first = [find('libvulkan.so.1') ?? [], drivers].flat();
  const all = first.flatMap((library) => [...linkedLibraries(library, folders), library]);
  return [...new Set(all)].filter((library) => folders.includes(dirname(library)));
}

/** glibc's flag that keeps a library when its handle is closed. */
const keep = 0x1000;

/** @param {string} path @returns {boolean} whether it is open now */
function openLibrary(path) {
  try {
    process.dlopen({ exports: {} }, path, constants.dlopen.RTLD_NOW | keep);
    return true;
  } catch (error) {
    // Opened, and found to be no addon of node.
    return /self-register/.test(/** @type {Error} */ (error).message);
  }
}
