/** What a machine can do to a run: lose the device, have too little memory, fill its disk. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { loadCheckpoint } from '../support/checkpoints.ts';
import { checkpointOf, checkpoints, metricsOf, Workplace } from '../support/runs.ts';
import { expectMessage } from './message.ts';

const place = new Workplace();

const adamw = 'optimizer: { use: adamw, learningRate: 1e-3 }';
const sft = `${adamw}\nrecipe: { use: sft, steps: 4, batch: 8, examples: 8, saveEvery: 1, keep: 10 }\n`;
const grpo = `${adamw}\nrewards: [is-color]\nrecipe: { use: grpo, steps: 4, prompts: 4, groupSize: 4, rationaleTokens: 6, saveEvery: 1, keep: 10 }\n`;

describe('a lost device', () => {
  test.each([
    ['sft', sft],
    ['grpo', grpo],
  ])('in %s: says so and ends; resumed, the run comes to the same end', async (name, text) => {
    const whole = await place.run(place.preset(name, text));
    const directory = place.free();
    const preset = place.preset(`${name}-lost`, `extensions: [{ use: saboteur, step: 3 }]\n${text}`);
    expectMessage(await place.command('run', preset, '--run-dir', directory), {
      exit: 5,
      code: 'DEVICE_LOST',
      says: [/the device was lost/, /reasongen resume/],
    });
    expect(checkpoints(directory)).toEqual(['step-000001', 'step-000002']);
    expect(existsSync(join(directory, 'lock'))).toBe(false);
    const resumed = await place.command('resume', directory, '--set', 'extensions=[]');
    expect(resumed.code, resumed.errors).toBe(0);
    expect(checkpointOf(directory, 4).weights.equals(checkpointOf(whole.directory, 4).weights)).toBe(true);
    expect(metricsOf(directory)).toEqual(metricsOf(whole.directory));
  });
});

describe('more than the machine has', () => {
  const absurd = 'recipe.batch=4000000';

  test('check says so, with what is needed and what there is', async () => {
    const end = await place.command('check', place.preset('absurd', sft), '--set', absurd);
    expectMessage(end, {
      exit: 4,
      code: 'DOES_NOT_FIT',
      says: [/needs [\d.]+ \wiB/, /The smallest change that fits is recipe\.microBatch: \d+, which needs \d+ MiB/],
    });
    expect(end.output).toMatch(/memory: .* on the device \(weights/);
  });

  test('run refuses before anything is allocated or written', async () => {
    const directory = place.free();
    const end = await place.command('run', place.preset('absurd', sft), '--set', absurd, '--run-dir', directory);
    expectMessage(end, { exit: 4, code: 'DOES_NOT_FIT', says: [/The smallest change that fits is/] });
    expect(existsSync(directory)).toBe(false);
  });

  test('run refuses what fits buffer by buffer but not together', async () => {
    const directory = place.free();
    const end = await place.command('run', place.preset('hungry', 'recipe: hungry\n'), '--run-dir', directory);
    expectMessage(end, {
      exit: 4,
      code: 'DOES_NOT_FIT',
      says: [/the run needs [\d.]+ TiB on the device, and [\d.]+ \wiB are left/],
    });
    expect(existsSync(directory)).toBe(false);
  });
});

/** A file system of a few hundred KiB, where this process may mount one; test/core/io/checkpoint.test.ts injects the same error everywhere. */
const canMount = ((): boolean => {
  if (process.getuid?.() !== 0) return false;
  try {
    execFileSync('mount', ['--help'], { stdio: 'ignore' });
    execFileSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

describe.skipIf(!canMount)('a full disk', () => {
  let mounted = '';
  afterEach(() => {
    if (mounted !== '') execFileSync('umount', [mounted]);
    mounted = '';
  });

  function disk(kibibytes: number): string {
    const folder = place.free('disk');
    mkdirSync(folder);
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kibibytes}k`, 'tmpfs', folder]);
    mounted = folder;
    return folder;
  }

  const grow = (kibibytes: number): void => void execFileSync('mount', ['-o', `remount,size=${kibibytes}k`, mounted]);

  test('while saving: the last good checkpoint is named and whole; with space the run goes on', async () => {
    const whole = await place.run(place.preset('sft', sft));
    const size = readdirSync(join(whole.directory, 'checkpoints/step-000004')).reduce(
      (sum, name) => sum + readFileSync(join(whole.directory, 'checkpoints/step-000004', name)).length,
      0,
    );
    // Room for two checkpoints and a half.
    const directory = join(disk(Math.ceil((2.5 * size) / 1024)), 'run');
    const end = await place.command('run', place.preset('full', sft), '--run-dir', directory);
    expectMessage(end, {
      exit: 6,
      code: 'DISK_FULL',
      place: /step-000003$/,
      says: [
        /no space left on the disk while saving step-000003/,
        /Free some space; the last good checkpoint is .*step-000002; then go on with: npx reasongen resume/,
      ],
    });
    expect(readdirSync(join(directory, 'checkpoints')).sort()).toEqual(['step-000001', 'step-000002']);
    expect((await loadCheckpoint(join(directory, 'checkpoints/step-000002'))).step).toBe(2);
    grow(20 * 1024);
    const resumed = await place.command('resume', directory);
    expect(resumed.code, resumed.errors).toBe(0);
    expect(checkpointOf(directory, 4).weights.equals(checkpointOf(whole.directory, 4).weights)).toBe(true);
    expect(metricsOf(directory)).toEqual(metricsOf(whole.directory));
  });

  test('before the run could begin: nothing is left that would be in the way', async () => {
    const folder = disk(4);
    const end = await place.command('run', place.preset('full', sft), '--run-dir', join(folder, 'run'));
    expect(end).toMatchObject({ code: 6, errors: expect.stringContaining('DISK_FULL') });
    grow(20 * 1024);
    expect((await place.command('run', place.preset('full', sft), '--run-dir', join(folder, 'run'))).code).toBe(0);
  });
});
