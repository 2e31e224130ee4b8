/** The directory of a small run in a folder that is new for every test. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import { createRun, type RunDirectory } from '../../core/io/run-directory.ts';

/** The folder of the test that runs, after `useRuns()`. */
export let root = '';

export function useRuns(): void {
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'reasongen-run-'));
  });
  afterEach(() => rm(root, { recursive: true, force: true }));
}

export const description = { versions: { reasongen: '1.2.3' }, adapter: {}, seeds: { sampling: 7 }, hashes: {} };

export function start(directory = join(root, 'runs', 'quick')): Promise<RunDirectory> {
  return createRun({
    directory,
    name: 'quick',
    preset: 'steps: 3\n',
    description,
    command: ['npx', 'reasongen', 'run'],
  });
}
