/** How much main memory is left, as the machine and a container's limit tell it. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { availableMemory } from '../../../core/gpu/host-memory.ts';

const mebibyte = 2 ** 20;
let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'reasongen-memory-'));
  write('proc/meminfo', 'MemTotal:       9000000 kB\nMemFree:         100000 kB\nMemAvailable:   2048000 kB\n');
});
afterEach(() => rmSync(root, { recursive: true }));

function write(path: string, text: string | number): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), `${text}\n`);
}

test('is what the machine has where nothing limits the process', () => {
  expect(availableMemory(root)).toBe(2_048_000 * 1024);
  write('sys/fs/cgroup/memory.max', 'max');
  write('sys/fs/cgroup/memory.current', 300 * mebibyte);
  expect(availableMemory(root)).toBe(2_048_000 * 1024);
});

test('is what a control group allows, files in memory that nobody uses not counted', () => {
  write('sys/fs/cgroup/memory.max', 1000 * mebibyte);
  write('sys/fs/cgroup/memory.current', 700 * mebibyte);
  write('sys/fs/cgroup/memory.stat', `anon 5\ninactive_file ${200 * mebibyte}\nactive_file 9`);
  expect(availableMemory(root)).toBe(500 * mebibyte);
});

test('also in the older layout of control groups', () => {
  write('sys/fs/cgroup/memory/memory.limit_in_bytes', 800 * mebibyte);
  write('sys/fs/cgroup/memory/memory.usage_in_bytes', 700 * mebibyte);
  write('sys/fs/cgroup/memory/memory.stat', `cache 1\ntotal_inactive_file ${50 * mebibyte}`);
  expect(availableMemory(root)).toBe(150 * mebibyte);
  write('sys/fs/cgroup/memory/memory.limit_in_bytes', '9223372036854771712');
  expect(availableMemory(root)).toBe(2_048_000 * 1024);
});
