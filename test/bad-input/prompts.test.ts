/** Prompts nobody can draw. */
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { CommandEnd } from '../support/command-line.ts';
import { checkpoints, curve, Workplace } from '../support/runs.ts';
import { expectMessage } from './message.ts';

const place = new Workplace();

async function generate(...args: string[]): Promise<{ end: CommandEnd; out: string }> {
  const { directory } = await place.halfTaught();
  const out = place.free('out');
  return { end: await place.command('generate', '--preset', directory, '--out', out, ...args), out };
}

describe('generate', () => {
  test('a prompt that is too long is refused with its length and the limit', async () => {
    const long = `a ${'very '.repeat(80)}red picture`;
    const { end } = await generate('--prompt', 'a red picture', '--prompt', long);
    expectMessage(end, {
      exit: 2,
      code: 'PROMPT_TOO_LONG',
      says: [/"a very very [^"]*\.\.\." has \d{3} tokens with its frame; this run takes 64/, /raise promptTokens/],
    });
    expect((await generate('--prompt', long, '--set', 'recipe.promptTokens=400')).end.code).toBe(0);
  });

  test('no prompt at all', async () => {
    const { end, out } = await generate();
    expectMessage(end, { exit: 2, code: 'NO_PROMPTS', place: 'recipe.prompts', says: [/nothing to draw/, /--prompt/] });
    expect(existsSync(out)).toBe(false);
  });

  test('an empty prompt', async () => {
    const { end } = await generate('--prompt', '  ');
    expect(end.code).toBe(2);
    // The flag that was typed is named, not the key of a preset behind it.
    expect(end.errors).toMatch(/^BAD_OPTION {2}--prompt " {2}"\n {2}--prompt\[0\]: /m);
    expect(end.errors).not.toMatch(/^\s+at /m);
  });

  test('an empty file of prompts, and a file that is not there', async () => {
    const empty = place.write('empty.txt', '\n  \n\n');
    const { end, out } = await generate('--set', `recipe.promptFile=${empty}`);
    expectMessage(end, {
      exit: 2,
      code: 'NO_PROMPTS',
      place: empty,
      says: [/has no prompt in it/, /one prompt a line/],
    });
    expect(existsSync(out)).toBe(false);
    const missing = await generate('--set', `recipe.promptFile=${place.path('nowhere.txt')}`);
    expect(missing.end).toMatchObject({ code: 2, errors: expect.stringContaining('nowhere.txt') });
    expect(missing.end.errors).not.toMatch(/^\s+at /m);
  });
});

test('a prompt of the dataset that is too long for the run: what was learnt is kept, and a longer limit goes on', async () => {
  const preset = place.preset(
    'wordy',
    'dataset: { use: swatches, wordy: true }\nrewards: [is-color]\noptimizer: { use: adamw, learningRate: 1e-3 }\n' +
      'recipe: { use: grpo, steps: 2, prompts: 5, groupSize: 4, rationaleTokens: 6, saveEvery: 1, refillRounds: 0, tooLong: stop }\n',
  );
  const directory = place.free();
  const end = await place.command('run', preset, '--run-dir', directory);
  expectMessage(end, { exit: 2, code: 'PROMPT_TOO_LONG', says: [/this run takes 24/] });
  expect(checkpoints(directory)).toEqual(['step-000001']);
  const resumed = await place.command('resume', directory, '--set', 'recipe.promptTokens=400');
  expect(resumed.code, resumed.errors).toBe(0);
  expect(checkpoints(directory)).toEqual(['step-000001', 'step-000002']);
});

test('as a rule such a prompt is passed over, and the run says how many were', async () => {
  const preset = place.preset(
    'skipping',
    'dataset: { use: swatches, wordy: true }\nrewards: [is-color]\noptimizer: { use: adamw, learningRate: 1e-3 }\n' +
      'recipe: { use: grpo, steps: 2, prompts: 5, groupSize: 4, rationaleTokens: 6, refillRounds: 0 }\n',
  );
  const { directory, lines } = await place.run(preset);
  expect(lines).toContainEqual(
    expect.stringMatching(/warning: step 2: 1 prompts of more than 24 tokens were passed over/),
  );
  expect(curve(directory, 'promptsTooLong')).toEqual([0, 1]);
});
