/** What killed commands leave beside what they write: the next one removes it, wherever that is, and leaves what living processes write. */
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { writeResult } from '../../../core/commands/result-file.ts';
import { replaceFile, type Files, disk } from '../../../core/io/disk.ts';
import { takeLock } from '../../../core/io/lock.ts';
import { writeModelFolder } from '../../../core/io/published-model.ts';
import { hasOnlyBegun } from '../../../core/io/run-directory.ts';

const dead = 2 ** 22 + 1;
const gone = JSON.stringify({ id: 'x', pid: dead, host: hostname(), processStart: '1' });
let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reasongen-leftovers-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function leave(name: string, content = 'half'): void {
  mkdirSync(join(folder, name, '..'), { recursive: true });
  writeFileSync(join(folder, name), content);
}

test.each(['lock', '.tmp-model.lock', '.reasongen-pull'])('beside the lock %s, its guard included', async (name) => {
  leave(`${name}.${randomUUID()}`, gone);
  leave(`${name}.takeover`, gone);
  leave(`${name}.takeover.${randomUUID()}`, gone);
  leave(`${name}.md`);
  leave(`another-${name}.${randomUUID()}`);
  const lock = await takeLock(join(folder, name));
  expect(readdirSync(folder).filter((each) => each !== name && !each.startsWith('another'))).toEqual([`${name}.md`]);
  lock.release();
  expect(readdirSync(folder)).toHaveLength(2);
});

test('the guard of a process that lives stays, and so does the lock of one that looks at it meanwhile', async () => {
  const lock = await takeLock(join(folder, 'lock'));
  const tries = await Promise.allSettled(Array.from({ length: 8 }, () => takeLock(join(folder, 'lock'))));
  expect(tries.every(({ status }) => status === 'rejected')).toBe(true);
  lock.release();
  expect(readdirSync(folder)).toEqual([]);
});

test('of exports into the same folder, those that were killed before they had their lock as well', async () => {
  leave('.tmp-other/model.safetensors');
  leave('.tmp-other.lock', gone);
  leave(`.tmp-third.lock.${randomUUID()}`);
  const entries = new Map();
  const weights = {
    origin: 'w',
    entries,
    metadata: {},
    read: () => Promise.resolve(new Uint8Array()),
    close: () => Promise.resolve(),
  };
  await writeModelFolder(join(folder, 'mine'), {
    weights,
    configs: {},
    copies: new Map(),
    largestShard: 1e9,
    progress: () => undefined,
  });
  expect(readdirSync(folder)).toEqual(['mine']);
});

test("of a file that lies in nobody's folder, and of no other", async () => {
  leave(`.tmp-scores.json-${dead}`);
  leave(`.tmp-scores.json-${process.ppid}`);
  leave(`.tmp-others.json-${dead}`);
  await writeResult(join(folder, 'scores.json'), '{}', 'writing scores');
  expect(readdirSync(folder).sort()).toEqual([
    `.tmp-others.json-${dead}`,
    `.tmp-scores.json-${process.ppid}`,
    'scores.json',
  ]);
});

test('a file that another machine took for a leftover is written again', async () => {
  let renames = 0;
  const files: Files = {
    ...disk,
    rename: async (from, to) => {
      renames += 1;
      if (renames === 1) rmSync(String(from));
      return disk.rename(from, to);
    },
  };
  await replaceFile(join(folder, 'a'), 'text', files);
  expect([renames, readdirSync(folder)]).toEqual([2, ['a']]);
});

test('a run that was killed before it had begun is told from one that has, and from anything else', () => {
  expect(hasOnlyBegun(['preset.yaml'])).toBe(true);
  expect(hasOnlyBegun(['lock', `lock.${randomUUID()}`, 'plugins', 'preset.yaml', `.tmp-run.json-${dead}`])).toBe(true);
  for (const names of [
    [],
    ['run.json'],
    ['preset.yaml', 'run.json'],
    ['preset.yaml', 'first'],
    ['preset.yaml', 'notes.txt'],
  ])
    expect(hasOnlyBegun(names), names.join()).toBe(false);
});
