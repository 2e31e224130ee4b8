// The cards of this machine by the bus they sit on: what tells two of one kind apart, which WebGPU shows under one name.
import { closeSync, openSync, readFileSync, readdirSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { findFiles } from './libraries.mjs';

/**
 * @typedef {object} Card
 * @property {string} name vendor and model, as far as the system tells
 * @property {string} bus `0000:03:00.0`
 * @property {string} file the device file that this process may open
 * @property {boolean} nvidia
 */

const vendors = /** @type {Readonly<Record<string, string>>} */ ({
  '0x1002': 'AMD',
  '0x8086': 'Intel',
  '0x10de': 'NVIDIA',
});

/**
 * The cards that this process may open, in the order of their buses. A container, or the cgroup of a job, may keep others from it.
 * @param {string} root @returns {Card[]}
 */
export function visibleCards(root = '/') {
  const all = [...cardsOfNvidia(root), ...cardsOfMesa(root)];
  return all
    .filter(({ file }) => opens(file))
    .filter(({ bus }, index, list) => list.findIndex((card) => card.bus === bus) === index)
    .sort((a, b) => (a.bus < b.bus ? -1 : 1));
}

/** Whether Mesa's layer is there, which shows a process one card of all, whoever makes it. @param {string} root */
export function hasDeviceSelection(root = '/') {
  return ['usr/share', 'etc', 'usr/local/share'].some(
    (folder) => findFiles(join(root, folder, 'vulkan/implicit_layer.d'), /device_select.*\.json$/i).length > 0,
  );
}

/** Variables that show a process this card alone, where `hasDeviceSelection`. @param {Card} card */
export function selectionOf({ bus }) {
  return { DRI_PRIME: `pci-${bus.replaceAll(/[:.]/g, '_')}`, MESA_VK_DEVICE_SELECT_FORCE_DEFAULT_DEVICE: '1' };
}

/** By any of these a user, or whoever started this process, has chosen a card already. */
const choices = ['DRI_PRIME', 'MESA_VK_DEVICE_SELECT', 'REASONGEN_ADAPTER', 'VK_LOADER_DEVICE_SELECT'];

/**
 * Variables by which the ranks of a machine take one card each; none where there is nothing to choose. `told` says where they cannot be told apart.
 * @param {{ root?: string, env?: NodeJS.ProcessEnv }} place
 * @returns {{ variables: Record<string, string>, told?: string }}
 */
export function cardOfRank({ root = '/', env = process.env } = {}) {
  const rank = env.OMPI_COMM_WORLD_LOCAL_RANK ?? (env.PMIX_RANK === undefined ? undefined : env.SLURM_LOCALID);
  if (rank === undefined || choices.some((name) => env[name])) return { variables: {} };
  const cards = visibleCards(root);
  const card = cards[Number(rank) % Math.max(1, cards.length)];
  if (card === undefined || cards.length === 1) return { variables: {} };
  if (hasDeviceSelection(root)) return { variables: selectionOf(card) };
  return {
    variables: {},
    told: `this process sees ${cards.length} cards and nothing chooses among them: each rank may compute on the same one (npx reasongen doctor says what to do)`,
  };
}

/** @param {string} root @returns {Card[]} */
function cardsOfNvidia(root) {
  const folder = join(root, 'proc/driver/nvidia/gpus');
  return names(folder).flatMap((bus) => {
    const facts = text(join(folder, bus, 'information'));
    const minor = /^Device Minor:\s*(\d+)/m.exec(facts)?.[1];
    const model = /^Model:\s*(.+?)\s*$/m.exec(facts)?.[1];
    if (minor === undefined) return [];
    return [{ name: model ?? 'NVIDIA', bus, file: join(root, `dev/nvidia${minor}`), nvidia: true }];
  });
}

/** @param {string} root @returns {Card[]} */
function cardsOfMesa(root) {
  const folder = join(root, 'sys/class/drm');
  return names(folder)
    .filter((name) => /^renderD\d+$/.test(name))
    .flatMap((name) => {
      const device = join(folder, name, 'device');
      const [vendor, model] = [text(join(device, 'vendor')).trim(), text(join(device, 'device')).trim()];
      const bus = real(device);
      if (bus === undefined || !/^[\da-f]{4}:[\da-f]{2}:[\da-f]{2}\.\d$/.test(bus)) return [];
      const file = join(root, 'dev/dri', name);
      return [{ name: `${vendors[vendor] ?? vendor} ${model}`, bus, file, nvidia: vendors[vendor] === 'NVIDIA' }];
    });
}

/** @param {string} folder */
function names(folder) {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** @param {string} file */
function text(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** @param {string} path */
function real(path) {
  try {
    return basename(realpathSync(path));
  } catch {
    return undefined;
  }
}

/** A cgroup refuses what the rights of the file allow: only opening it tells. @param {string} file */
function opens(file) {
  try {
    closeSync(openSync(file, 'r+'));
    return true;
  } catch {
    return false;
  }
}
