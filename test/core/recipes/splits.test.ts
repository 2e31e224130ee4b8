/** A benchmark may say which splits it has: nobody asks it for others. */
import { expect, test } from 'vitest';
import { readRunRecords } from '../../../core/io/records.ts';
import { Workplace } from '../../support/runs.ts';

const place = new Workplace();
const benchmarks =
  'benchmarks: [{ use: swatches, only: seen, name: one }, { use: swatches, only: heldout, name: other }, swatches]\n';

test('an evaluation takes the splits that each benchmark has, and refuses one that has none of those asked for', async () => {
  const preset = place.preset(
    'splits',
    `${benchmarks}recipe: { use: evaluate, weights: random, count: 2, batch: 2, rationaleTokens: 4, pictures: 0 }\n`,
  );
  const { directory } = await place.run(preset);
  const found = (await readRunRecords(directory)).evaluations.map(({ benchmark, split }) => `${benchmark} ${split}`);
  expect(found.toSorted()).toEqual(['one seen', 'other heldout', 'swatches heldout', 'swatches seen']);
  await expect(place.run(preset, { settings: ['recipe.splits=[heldout]'] })).rejects.toMatchObject({
    code: 'NO_PROMPTS',
    exitCode: 2,
    message: 'benchmark "one" has no prompts for split heldout',
    hint: expect.stringContaining('seen') as string,
  });
  // Before the first benchmark is drawn, whichever has none: `check` knows it, too.
  const checked = await place.command('check', preset, '--set', 'recipe.splits=[seen]');
  expect(checked.code).toBe(2);
  expect(checked.errors).toContain('benchmark "other" has no prompts for split seen');
});

test('GRPO evaluates on held-out prompts, and on seen ones where a benchmark has no others', async () => {
  const preset = place.preset(
    'grpo',
    `${benchmarks}rewards: [{ use: faulty, fault: half-blind }]\noptimizer: { use: adamw, learningRate: 1e-3 }\nrecipe: { use: grpo, steps: 1, prompts: 2, groupSize: 2, rationaleTokens: 4, refillRounds: 0, evaluations: 1, evaluationPictures: 0 }\n`,
  );
  const { directory } = await place.run(preset);
  const found = new Set(
    (await readRunRecords(directory)).evaluations.map(({ benchmark, split }) => `${benchmark} ${split}`),
  );
  expect([...found].toSorted()).toEqual(['one seen', 'other heldout', 'swatches heldout']);
});
