import { existsSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { writeJson } from './cache.mjs';
import { majorVersion } from './debian-version.mjs';
import { SetupError } from './failure.mjs';
import { findHardware } from './hardware.mjs';
import { findLavapipe, installedVersions, oldestMesa, systemCodename, unpackThroughApt } from './lavapipe.mjs';
import { findFiles, findLibrary, folderToAdd, libraryFolders, missingLibraries } from './libraries.mjs';
import { prepareSwiftshader } from './swiftshader.mjs';

/** @typedef {'gpu' | 'lavapipe' | 'swiftshader'} DriverKind */
/**
 * A driver that is there and that WebGPU has not been asked about yet.
 * @typedef {{ kind: DriverKind, version: string, files: string[], folders: string[] }} Candidate
 * `files` are the driver's description files for the Vulkan loader, `folders` what the dynamic linker must search besides its own.
 */
/**
 * @typedef {{ env: NodeJS.ProcessEnv, cache: string, download: boolean, report: (line: string) => void }} Context
 * Without `download`, a driver that would have to be fetched is a SetupError.
 */

/** The drivers of this machine's GPU. @param {Context} context @returns {Promise<Candidate>} */
export async function hardware(context) {
  const found = findHardware(context);
  if ('reason' in found) throw new SetupError({ code: found.code, message: found.reason, hint: found.hint });
  return {
    kind: 'gpu',
    version: '',
    files: found.files,
    folders: [...found.folders, ...(await loaderFolders(context))],
  };
}

/** The system's lavapipe where it is new enough, else one of ours, fetched when needed. @param {Context} context @returns {Promise<Candidate>} */
export async function lavapipe(context) {
  const file = findLavapipe();
  const version = installedMesa();
  if (file && majorVersion(version) >= oldestMesa)
    return { kind: 'lavapipe', version, files: [file], folders: await loaderFolders(context) };
  const prefix = cachePrefix('lavapipe');
  const known = cachedFolder(context.cache, prefix);
  if (known && missingLibraries(known).length === 0)
    return unpackedLavapipe(known, basename(known).slice(prefix.length));
  forbidDownload(context, 'lavapipe');
  if (known) rmSync(known, { recursive: true, force: true });
  const { folder } = await unpackThroughApt({
    packages: ['mesa-vulkan-drivers', 'libvulkan1'],
    minimumMajor: oldestMesa,
    destination: (name) => join(context.cache, `${prefix}${name}`),
    report: context.report,
  });
  return unpackedLavapipe(folder, basename(folder).slice(prefix.length));
}

/** SwiftShader, fetched when needed. @param {Context} context @returns {Promise<Candidate>} */
export async function swiftshader(context) {
  if (!context.download && !cachedFolder(context.cache, 'swiftshader-')) forbidDownload(context, 'swiftshader');
  const { folder, version } = await prepareSwiftshader(context.cache, context.report);
  return { kind: 'swiftshader', version, files: [join(folder, 'vk_swiftshader_icd.json')], folders: [folder] };
}

/** The lavapipe of a folder of ours, with a description file that names its library absolutely. @param {string} folder @param {string} version @returns {Candidate} */
export function unpackedLavapipe(folder, version) {
  const folders = libraryFolders(folder);
  const library = folders.map((place) => join(place, 'libvulkan_lvp.so')).find((path) => existsSync(path));
  const source = findLavapipe(folder);
  if (!library || !source)
    throw new SetupError({
      code: 'LAVAPIPE_UNAVAILABLE',
      message: `${folder} holds no lavapipe`,
      hint: `rm -r ${folder}`,
    });
  const description = JSON.parse(readFileSync(source, 'utf8'));
  const file = join(folder, 'lavapipe.json');
  writeJson(file, { ...description, ICD: { ...description.ICD, library_path: library } });
  return { kind: 'lavapipe', version, files: [file], folders };
}

/** Folders to add so that the Vulkan loader is found: none where the system has one. @param {Context} context */
async function loaderFolders(context) {
  const present = findLibrary('libvulkan.so.1', '/', context.env);
  if (present) return folderToAdd(present);
  const prefix = cachePrefix('loader');
  const known = cachedFolder(context.cache, prefix);
  if (known) return libraryFolders(known);
  forbidDownload(context, 'the Vulkan loader (libvulkan.so.1)');
  try {
    const { folder } = await unpackThroughApt({
      packages: ['libvulkan1'],
      destination: (name) => join(context.cache, `${prefix}${name}`),
      report: context.report,
    });
    return libraryFolders(folder);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    context.report(`no Vulkan loader through apt (${error.message}); taking the one that comes with SwiftShader`);
    return [(await prepareSwiftshader(context.cache, context.report)).folder];
  }
}

/** What the names of folders with unpacked packages begin with: they fit one release of one distribution. @param {'lavapipe' | 'loader'} what */
export function cachePrefix(what) {
  return `${what}-${systemCodename()}-${process.arch}-`;
}

/** The newest complete folder of a kind. @param {string} cache @param {string} prefix */
export function cachedFolder(cache, prefix) {
  return findFiles(cache, /(?<!\.tmp)$/).findLast((folder) => basename(folder).startsWith(prefix));
}

/** @param {Context} context @param {string} what @throws {SetupError} */
function forbidDownload({ download }, what) {
  if (!download)
    throw new SetupError({
      code: 'NOT_PREPARED',
      message: `${what} has not been fetched yet`,
      hint: 'npx reasongen setup',
    });
}

/** The version of the system's Mesa: by its package, else by the name of the library file; '' when it does not tell. */
export function installedMesa() {
  const version = installedVersions(['mesa-vulkan-drivers']).get('mesa-vulkan-drivers');
  if (version) return version;
  const library = ['/usr/lib64', '/usr/lib', '/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu']
    .flatMap((folder) => findFiles(folder, /^libgallium-[\d.]+.*\.so$/))
    .at(0);
  return library ? (/libgallium-([\d.]+\d)/.exec(library)?.[1] ?? '') : '';
}
