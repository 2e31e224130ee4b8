import { existsSync } from 'node:fs';
import { cacheDirectory } from './cache.mjs';
import { hasDeviceSelection, selectionOf, visibleCards } from './cards.mjs';
import { cachedFolder, cachePrefix, installedMesa } from './candidates.mjs';
import { majorVersion } from './debian-version.mjs';
import { findHardware } from './hardware.mjs';
import { findLavapipe, oldestMesa, systemCodename } from './lavapipe.mjs';
import { findLibrary } from './libraries.mjs';
import { whyNotWritable, writableCacheHint } from './writable.mjs';

/** @typedef {{ name: string, ok: boolean, found: string, hint?: string }} AdapterFact one thing an adapter needs; `hint` is the exact remedy where it is missing */

/**
 * What this machine has for WebGPU and what it lacks, each with its remedy. Looks only: nothing is fetched, started or written.
 * @param {{ root?: string, env?: NodeJS.ProcessEnv }} place
 * @returns {AdapterFact[]}
 */
export function describeAdapter({ root = '/', env = process.env } = {}) {
  const cache = cacheDirectory(env);
  return [
    gpu(root, cache, env),
    ...cards(root),
    loader(root, cache, env),
    systemLavapipe(root),
    ownLavapipe(cache),
    swiftshader(cache),
    ...unwritableCache(cache),
  ];
}

/** Said where it hinders the set-up only. @param {string} cache @returns {AdapterFact[]} */
function unwritableCache(cache) {
  const reason = whyNotWritable(cache);
  if (reason === undefined) return [];
  return [{ name: 'cache', ok: false, found: `${cache} cannot be written: ${reason}`, hint: writableCacheHint }];
}

/** @param {string} root @param {string} cache @param {NodeJS.ProcessEnv} env @returns {AdapterFact} */
function gpu(root, cache, env) {
  const found = findHardware({ root, cache, env });
  if ('reason' in found) return { name: 'GPU and its Vulkan driver', ok: false, found: found.reason, hint: found.hint };
  return { name: 'GPU and its Vulkan driver', ok: true, found: found.files.join(', ') };
}

/** Every card this process may open, and how a process is given it alone. @param {string} root @returns {AdapterFact[]} */
function cards(root) {
  const isSelectable = hasDeviceSelection(root);
  return visibleCards(root).map((card, index) => {
    const variables = Object.entries(selectionOf(card)).map(([name, value]) => `${name}=${value}`);
    const ways = [
      ...(isSelectable ? [variables.join(' ')] : []),
      ...(card.nvidia
        ? [`a container begun with --gpus device=${minorOf(card.file)}`]
        : [`a container begun with --device ${card.file}`]),
      'a job of Slurm with --gpus-per-task=1 --gpu-bind=single:1',
    ];
    return {
      name: `card ${index}`,
      ok: true,
      found: `${card.name}, bus ${card.bus}, ${card.file}; a process sees it alone by ${ways.join('; or ')}`,
    };
  });
}

/** @param {string} file */
function minorOf(file) {
  return /\d+$/.exec(file)?.[0] ?? '0';
}

/** @param {string} root @param {string} cache @param {NodeJS.ProcessEnv} env @returns {AdapterFact} */
function loader(root, cache, env) {
  const name = 'Vulkan loader';
  const system = findLibrary('libvulkan.so.1', root, env);
  if (system) return { name, ok: true, found: system };
  const own =
    cachedFolder(cache, cachePrefix('lavapipe')) ??
    cachedFolder(cache, cachePrefix('loader')) ??
    cachedFolder(cache, 'swiftshader-');
  if (own) return { name, ok: true, found: `in ${own}` };
  return {
    name,
    ok: false,
    found: 'no libvulkan.so.1',
    hint: `npx reasongen setup (or ${installCommand('libvulkan1')})`,
  };
}

/** @param {string} root @returns {AdapterFact} */
function systemLavapipe(root) {
  const name = 'lavapipe of the system';
  const file = findLavapipe(root);
  if (!file)
    return {
      name,
      ok: false,
      found: 'not installed',
      hint: `npx reasongen setup puts one into the cache (or ${installCommand('mesa-vulkan-drivers')})`,
    };
  const version = installedMesa();
  if (majorVersion(version) >= oldestMesa) return { name, ok: true, found: `${file}, Mesa ${version}` };
  return {
    name,
    ok: false,
    found: `${file}, Mesa ${version || 'of unknown version'}: too old, WebGPU needs ${oldestMesa}`,
    hint: 'npx reasongen setup puts a newer one into the cache and leaves the system alone',
  };
}

/** @param {string} cache @returns {AdapterFact} */
function ownLavapipe(cache) {
  const folder = cachedFolder(cache, cachePrefix('lavapipe'));
  if (folder) return { name: 'lavapipe in the cache', ok: true, found: folder };
  return { name: 'lavapipe in the cache', ok: false, found: `none in ${cache}`, hint: 'npx reasongen setup' };
}

/** @param {string} cache @returns {AdapterFact} */
function swiftshader(cache) {
  const folder = cachedFolder(cache, 'swiftshader-');
  if (folder) return { name: 'SwiftShader in the cache', ok: true, found: folder };
  return {
    name: 'SwiftShader in the cache',
    ok: false,
    found: 'not needed while another adapter works',
    hint: 'REASONGEN_ADAPTER=swiftshader npx reasongen setup',
  };
}

/** @param {string} debianPackage */
function installCommand(debianPackage) {
  if (existsSync('/usr/bin/apt-get'))
    return `sudo apt-get install ${systemCodename() === 'bookworm' ? '-t bookworm-backports ' : ''}${debianPackage}`;
  const name = debianPackage === 'libvulkan1' ? 'vulkan-loader' : 'mesa-vulkan-drivers';
  if (existsSync('/usr/bin/dnf')) return `sudo dnf install ${name}`;
  if (existsSync('/usr/bin/pacman'))
    return `sudo pacman -S ${debianPackage === 'libvulkan1' ? 'vulkan-icd-loader' : 'vulkan-swrast'}`;
  return `install the package ${name} of your distribution`;
}
