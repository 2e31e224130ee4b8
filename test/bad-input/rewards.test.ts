/**
 * Bad input, one message each: code, place, hint, exit code, no stack, and the last good checkpoint is kept. Where each is provoked:
 *
 * | input                                   | test                                                            |
 * |-----------------------------------------|-----------------------------------------------------------------|
 * | unknown key, wrong type, unknown name   | test/cases/many-mistakes, test/core/cli.test.ts "every mistake"  |
 * | bad YAML, same key twice, missing base  | test/cases/{bad-yaml,duplicate-key,missing-base}                |
 * | missing file                            | test/cases/many-mistakes, checkpoints.test.ts, prompts.test.ts  |
 * | unknown or broken plugin, two of a name | test/cases/broken-plugins, test/core/preset/preset-plugins.test.ts     |
 * | rewards: NaN, wrong number, thrown      | here                                                            |
 * | constant reward, NaN, ratio, no teaching| guards.test.ts                                                  |
 * | prompts: too long, none, empty file     | prompts.test.ts                                                 |
 * | checkpoints: corrupt, of another shape  | checkpoints.test.ts                                             |
 * | no adapter                              | test/core/program.test.ts "without an adapter"                  |
 * | lost device, out of memory, full disk   | machine.test.ts; the disk also test/core/io/checkpoint.test.ts     |
 * | ^C in every phase                       | interrupts.test.ts; a second one: test/core/program.test.ts     |
 */
import { expect, test } from 'vitest';
import { loadCheckpoint } from '../support/checkpoints.ts';
import { checkpoints, Workplace } from '../support/runs.ts';
import { expectMessage } from './message.ts';

const place = new Workplace();

test.each([
  [
    'not-a-number',
    'BAD_SCORES',
    [/sample 1 \("a \w+ picture", id step-3-0-1\) is NaN/, 'A reward returns one finite score per sample'],
  ],
  [
    'one-short',
    'BAD_SCORES',
    ['It returned 7 scores for 8 samples', 'A reward returns one finite score per sample'].map(
      (text) => new RegExp(text, 'i'),
    ),
  ],
  ['throws', 'REWARD_FAILED', [/it failed while judging 8 samples: the judge is out of office/, /mend the reward/i]],
] as const)(
  'a reward that goes wrong (%s) is named, what was learnt is kept, and the run goes on when it is mended',
  async (fault, code, says) => {
    const preset = place.preset(
      fault,
      `rewards: [{ use: faulty, name: judge, fault: ${fault}, from: 3 }]\noptimizer: { use: adamw, learningRate: 1e-3 }\n` +
        'recipe: { use: grpo, steps: 3, prompts: 2, groupSize: 4, rationaleTokens: 6, saveEvery: 1, refillRounds: 0 }\n',
    );
    const directory = place.free();
    const end = await place.command('run', preset, '--run-dir', directory);
    expectMessage(end, { exit: 1, code, place: 'reward "judge"', says });
    expect(checkpoints(directory)).toEqual(['step-000001', 'step-000002']);
    expect((await loadCheckpoint(`${directory}/checkpoints/step-000002`)).step).toBe(2);
    const resumed = await place.command('resume', directory, '--set', 'rewards=[is-color]');
    expect(resumed.code, resumed.errors).toBe(0);
    expect(checkpoints(directory)).toEqual(['step-000002', 'step-000003']);
    // With --debug the cause comes with its stack.
    if (fault === 'throws')
      expect((await place.command('run', preset, '--run-dir', place.free(), '--debug')).errors).toMatch(
        /^\s+at .*swatches\.ts/m,
      );
  },
);
