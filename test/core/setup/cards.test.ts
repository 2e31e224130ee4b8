import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { cardOfRank, visibleCards } from '../../../core/setup/cards.mjs';
import { describeAdapter } from '../../../core/setup/describe-adapter.mjs';

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'reasongen-cards-'));
});
afterEach(() => rmSync(root, { recursive: true }));

function write(file: string, text = ''): void {
  const path = join(root, file);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, text);
}

/** As Linux shows an AMD card. */
function amd(bus: string, render: string): void {
  write(`sys/devices/${bus}/vendor`, '0x1002\n');
  write(`sys/devices/${bus}/device`, '0x744c\n');
  mkdirSync(join(root, 'sys/class/drm', render), { recursive: true });
  symlinkSync(join(root, 'sys/devices', bus), join(root, 'sys/class/drm', render, 'device'));
  write(`dev/dri/${render}`);
}

/** As NVIDIA's driver shows one; `isOpen`: whether its file is there for this process. */
function nvidia(bus: string, minor: number, isOpen = true): void {
  write(`proc/driver/nvidia/gpus/${bus}/information`, `Model: \t\t NVIDIA H200\nDevice Minor: \t ${minor}\n`);
  if (isOpen) write(`dev/nvidia${minor}`);
}

const layer = 'usr/share/vulkan/implicit_layer.d/VkLayer_MESA_device_select.json';
const rank = (local: number): NodeJS.ProcessEnv => ({ OMPI_COMM_WORLD_LOCAL_RANK: String(local) });

test('cards are found by their buses; what a container or a cgroup keeps from the process is none', () => {
  amd('0000:83:00.0', 'renderD129');
  amd('0000:03:00.0', 'renderD128');
  nvidia('0000:19:00.0', 0);
  nvidia('0000:1a:00.0', 1, false);
  expect(visibleCards(root).map(({ name, bus }) => `${name} ${bus}`)).toEqual([
    'AMD 0x744c 0000:03:00.0',
    'NVIDIA H200 0000:19:00.0',
    'AMD 0x744c 0000:83:00.0',
  ]);
});

test('ranks of a machine take one card each where one can be chosen; who has chosen is left alone', () => {
  amd('0000:03:00.0', 'renderD128');
  expect(cardOfRank({ root, env: rank(1) })).toEqual({ variables: {} });
  amd('0000:83:00.0', 'renderD129');
  expect(cardOfRank({ root, env: rank(1) }).told).toContain('2 cards');
  write(layer);
  expect(cardOfRank({ root, env: rank(0) }).variables).toMatchObject({ DRI_PRIME: 'pci-0000_03_00_0' });
  expect(cardOfRank({ root, env: rank(3) }).variables).toEqual({
    DRI_PRIME: 'pci-0000_83_00_0',
    MESA_VK_DEVICE_SELECT_FORCE_DEFAULT_DEVICE: '1',
  });
  expect(cardOfRank({ root, env: { ...rank(1), DRI_PRIME: 'pci-0000_03_00_0' } })).toEqual({ variables: {} });
  expect(cardOfRank({ root, env: {} })).toEqual({ variables: {} });
});

test('doctor names every card, and what shows a process this one alone', () => {
  nvidia('0000:19:00.0', 0);
  nvidia('0000:1a:00.0', 1);
  const without = describeAdapter({ root, env: {} }).filter(({ name }) => name.startsWith('card '));
  expect(without.map(({ found }) => found)).toEqual([
    expect.stringMatching(/^NVIDIA H200, bus 0000:19:00\.0.*--gpus device=0/),
    expect.stringMatching(/^NVIDIA H200, bus 0000:1a:00\.0.*--gpus device=1/),
  ]);
  expect(without[1]?.found).not.toContain('DRI_PRIME');
  write(layer);
  const layered = describeAdapter({ root, env: {} }).filter(({ name }) => name.startsWith('card '));
  expect(layered[1]?.found).toContain('DRI_PRIME=pci-0000_1a_00_0 MESA_VK_DEVICE_SELECT_FORCE_DEFAULT_DEVICE=1');
});
