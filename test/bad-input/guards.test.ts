/** Runs that could not teach anything stop by themselves: exit code 7, the cause named, the last good checkpoint kept. */
import { describe, expect, test } from 'vitest';
import { loadCheckpoint } from '../../core/io/checkpoint.ts';
import { checkpointOf, checkpoints, curve, Workplace, type CommandEnd } from '../support/runs.ts';
import { expectMessage } from './message.ts';

const place = new Workplace();

async function run(text: string, ...settings: string[]): Promise<{ end: CommandEnd; directory: string }> {
  const directory = place.free();
  const end = await place.command('run', place.preset('guarded', text), '--run-dir', directory, ...settings.flatMap((setting) => ['--set', setting]));
  return { end, directory };
}

const sft = 'optimizer: { use: adamw, learningRate: 1e-3 }\nrecipe: { use: sft, steps: 6, batch: 8, examples: 8, saveEvery: 1, keep: 10 }\n';
const grpo = 'optimizer: { use: adamw, learningRate: 1e-3 }\nrewards: [is-colour]\nrecipe: { use: grpo, steps: 6, prompts: 4, samples: 4, rationaleTokens: 6, saveEvery: 1, keep: 10 }\n';

/** Every checkpoint that is left can be loaded and holds numbers. */
async function expectWhole(directory: string): Promise<void> {
  for (const name of checkpoints(directory)) {
    const { weights } = await loadCheckpoint(`${directory}/checkpoints/${name}`);
    for (const { data } of weights.values()) expect(data instanceof Float32Array && data.every(Number.isFinite)).toBe(true);
  }
}

describe('numbers that are none', () => {
  test('in supervised fine-tuning: the update is skipped and the run stops', async () => {
    const { end, directory } = await run(sft, 'optimizer.learningRate=1e30');
    expectMessage(end, { exit: 7, code: 'NOT_FINITE', says: [/step 2: the gradient norm is not finite/, /weights are unchanged/, /Lower optimizer.learningRate/] });
    expect(checkpoints(directory)).toEqual(['step-000001']);
    await expectWhole(directory);
  });

  test('in GRPO: whoever sees them first says so', async () => {
    const { end, directory } = await run(grpo, 'optimizer.learningRate=1e30', 'recipe.prompts=8', 'recipe.updates=1');
    expectMessage(end, { exit: 7, code: 'SAMPLE_NOT_FINITE', says: [/not finite/, /diverged/] });
    expect(checkpoints(directory)).toEqual(['step-000001']);
    await expectWhole(directory);
  });

  test('after good steps: the checkpoint before them is kept, and a sane rate goes on from there', async () => {
    const patient = place.preset('patient', sft.replace('saveEvery: 1', 'saveEvery: 100'));
    const whole = await place.run(patient);
    const { directory } = await place.run(patient, { stopAfter: 3 });
    const end = await place.command('resume', directory, '--set', 'optimizer.learningRate=1e30');
    expectMessage(end, { exit: 7, code: 'NOT_FINITE', says: [/step 5: the gradient norm is not finite/, /resume from the last checkpoint/] });
    expect(checkpoints(directory)).toEqual(['step-000003']);
    const resumed = await place.command('resume', directory);
    expect(resumed.code, resumed.errors).toBe(0);
    expect(checkpointOf(directory, 6).weights.equals(checkpointOf(whole.directory, 6).weights)).toBe(true);
  });
});

test('a loss that teaches nothing', async () => {
  const { end } = await run(sft, 'recipe.textWeight=0', 'recipe.imageWeight=0');
  expectMessage(end, { exit: 7, code: 'ZERO_GRADIENT', says: [/exactly zero/, /loss weights/] });
});

test('a reward that is always the same', async () => {
  const { end, directory } = await run(grpo, 'rewards=[{ use: faulty, fault: constant }]', 'recipe.guardWindow=3');
  expectMessage(end, { exit: 7, code: 'CONSTANT_REWARD', says: [/for 3 steps no group has had variance/i, /the last were 0\.5/, /graded rewards/] });
  expect(curve(directory, 'reward')).toEqual([0.5, 0.5]);
  // It goes on from there with a reward that tells drawings apart.
  const resumed = await place.command('resume', directory, '--set', 'rewards=[is-colour]', '--set', 'recipe.steps=3');
  expect(resumed.code, resumed.errors).toBe(0);
});

test('a sampler that draws from another distribution than the one trained', async () => {
  const { end } = await run(grpo, 'recipe.imageTopK=2', 'recipe.prompts=8');
  expectMessage(end, { exit: 7, code: 'SAMPLER_DISAGREES', says: [/step 1: sampler and scorer/, /topK 0 and topP 1/] });
});
