import { accessSync, constants, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { foreignDescription } from './lavapipe.mjs';
import { findFiles, findLibrary, folderToAdd } from './libraries.mjs';

/** Folders where Vulkan drivers describe themselves, NVIDIA's place in containers included. */
export const driverDescriptionFolders = [
  'usr/share/vulkan/icd.d',
  'usr/local/share/vulkan/icd.d',
  'etc/vulkan/icd.d',
  'usr/local/etc/vulkan/icd.d',
  'usr/local/nvidia/share/vulkan/icd.d',
];

/**
 * The GPU device files of this machine and whether this user may open them.
 * @param {string} root @returns {{ path: string, nvidia: boolean, allowed: boolean }[]}
 */
export function gpuDevices(root = '/') {
  const nvidia = findFiles(join(root, 'dev'), /^nvidia\d+$/);
  const others = [...findFiles(join(root, 'dev/dri'), /^renderD\d+$/), ...findFiles(join(root, 'dev'), /^dxg$/)];
  return [...nvidia.map((path) => ({ path, nvidia: true })), ...others.map((path) => ({ path, nvidia: false }))].map(
    (device) => ({
      ...device,
      allowed: mayOpen(device.path),
    }),
  );
}

/**
 * Description files of hardware drivers; software drivers and drivers of virtual machines' paravirtual devices are left out.
 * @param {string} root
 */
export function hardwareDriverFiles(root = '/') {
  return driverDescriptionFolders
    .flatMap((folder) => findFiles(join(root, folder), /\.json$/))
    .filter((path) => !/(lvp|swiftshader|gfxstream|virtio|dummy)[^/]*$/.test(path) && !foreignDescription.test(path));
}

/**
 * The hardware drivers to try here, or why there is none.
 * @param {{ root?: string, cache: string, env?: NodeJS.ProcessEnv }} place a description of NVIDIA's driver is written to `cache` where the container lacks one
 * @returns {{ files: string[], folders: string[] } | { code: 'NO_GPU' | 'NO_GPU_PERMISSION' | 'NO_GPU_DRIVER', reason: string, hint: string }}
 */
export function findHardware({ root = '/', cache, env = process.env }) {
  const devices = gpuDevices(root);
  if (devices.length === 0)
    return {
      code: 'NO_GPU',
      reason: 'this machine shows no GPU (no /dev/nvidia*, no /dev/dri/render*)',
      hint: 'run on a machine with a GPU; in a container start it with --gpus all (NVIDIA) or --device /dev/dri (AMD, Intel)',
    };
  const usable = devices.filter((device) => device.allowed);
  if (usable.length === 0)
    return {
      code: 'NO_GPU_PERMISSION',
      reason: `this user may not open ${devices.map((device) => device.path).join(', ')}`,
      hint: 'sudo usermod -aG render,video $USER, then log in again',
    };
  const files = hardwareDriverFiles(root);
  const nvidia = usable.some((device) => device.nvidia);
  const ofNvidia = files.filter((path) => /nvidia[^/]*$/.test(path));
  if (nvidia) {
    const library = ['libGLX_nvidia.so.0', 'libEGL_nvidia.so.0']
      .map((name) => findLibrary(name, root, env))
      .find(Boolean);
    const folders = library ? folderToAdd(library) : [];
    if (ofNvidia.length > 0) return { files: ofNvidia, folders };
    if (library) return { files: [describeNvidia(cache, library)], folders };
    return {
      code: 'NO_GPU_DRIVER',
      reason: `${usable.map((device) => device.path).join(', ')} is there, but NVIDIA's Vulkan driver is not (no nvidia_icd.json, no libGLX_nvidia.so.0)`,
      hint: 'in a container set NVIDIA_DRIVER_CAPABILITIES=all (compute alone leaves Vulkan out); on a server install libnvidia-gl of the same version as the kernel driver',
    };
  }
  if (files.length > 0) return { files, folders: [] };
  return {
    code: 'NO_GPU_DRIVER',
    reason: `${usable.map((device) => device.path).join(', ')} is there, but no Vulkan driver for it is installed`,
    hint: 'sudo apt-get install mesa-vulkan-drivers libvulkan1',
  };
}

/** @param {string} cache @param {string} library */
function describeNvidia(cache, library) {
  const path = join(cache, 'icd', 'nvidia_icd.json');
  mkdirSync(dirname(path), { recursive: true });
  const description = { file_format_version: '1.0.0', ICD: { library_path: library, api_version: '1.3.0' } };
  writeFileSync(path, `${JSON.stringify(description, null, 2)}\n`);
  return path;
}

/** @param {string} path */
function mayOpen(path) {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
