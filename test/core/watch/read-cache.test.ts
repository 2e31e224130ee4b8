/** What pages share is read once, anew when it has changed, and never kept when it could not be read. */
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ReadCache } from '../../../core/watch/read-cache.ts';
import { Workplace } from '../../support/runs.ts';

const place = new Workplace();

function fileIn(name: string): string {
  const folder = place.free(name);
  mkdirSync(folder);
  writeFileSync(join(folder, 'list'), 'one');
  return join(folder, 'list');
}

test('a file is read once for all that ask, and anew when it has grown or was written again', async () => {
  const [path, cache] = [fileIn('kept'), new ReadCache<number>(2)];
  let reads = 0;
  const read = async (): Promise<number> => ++reads;
  expect(await Promise.all([cache.read(path, read), cache.read(path, read)])).toEqual([1, 1]);
  writeFileSync(path, 'more');
  expect(await cache.read(path, read)).toBe(2);
  // As long, and another time.
  writeFileSync(path, 'less');
  utimesSync(path, 1, 1);
  expect(await cache.read(path, read)).toBe(3);
  expect(await cache.read(path, read)).toBe(3);
});

test('a failure is told and tried again, and what was asked for last is kept', async () => {
  const [path, other, third] = [fileIn('failing'), fileIn('other'), fileIn('third')];
  const cache = new ReadCache<string>(2);
  await expect(cache.read(path, () => Promise.reject(new Error('torn')))).rejects.toThrow('torn');
  expect(await cache.read(path, async () => 'whole')).toBe('whole');
  await cache.read(other, async () => 'other');
  await cache.read(path, async () => 'not read');
  await cache.read(third, async () => 'third');
  expect(await cache.read(path, async () => 'read again')).toBe('whole');
  expect(await cache.read(other, async () => 'read again')).toBe('read again');
});
