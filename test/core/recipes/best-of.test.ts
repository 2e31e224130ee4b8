/** The best of several drawings by a reward: chosen by it, reported as such, and scored without it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { NamedReward } from '../../../core/contracts/recipe.ts';
import { placeOfBest, bestOfRecord, choosingOf } from '../../../core/drawing/best-of.ts';
import { readPngText } from '../../../core/io/image.ts';
import { silentLog } from '../../../core/log.ts';
import { testSamples } from '../../../core/testing.ts';
import type { CommandEnd } from '../../support/command-line.ts';
import { evaluationOf, Workplace } from '../../support/runs.ts';

const place = new Workplace();

describe('which is the best', () => {
  test.each([
    [[0.1, 0.9, 0.5], 1],
    [[0.5, 0.5], 0],
    [[undefined, 0.1], 1],
    [[undefined, undefined], 0],
    [[-3, -2, -9], 1],
  ])('of %j', (scores, index) => expect(placeOfBest(scores)).toBe(index));
});

const byIndex: NamedReward = {
  name: 'late',
  weight: 1,
  reward: { score: (samples) => samples.map(({ copy }) => copy) },
};

test('a reward chooses by its name; who is not there, or not named, is an error', async () => {
  const context = { rewards: [byIndex], log: silentLog() };
  expect(choosingOf(context, { bestOf: 1 })).toBeUndefined();
  const choosing = choosingOf(context, { bestOf: 2, chosenBy: 'late' });
  expect(await choosing?.score(testSamples().slice(0, 4))).toEqual([0, 1, 0, 1]);
  expect(() => choosingOf(context, { bestOf: 2 })).toThrow(/no reward is named that chooses/);
  expect(() => choosingOf(context, { bestOf: 2, chosenBy: 'lat' })).toThrow(/no reward "lat" to choose by/);
  expect(bestOfRecord({ bestOf: 1 })).toEqual({});
});

test('pictures: what a reward likes best of those that are drawn one by one, said in record and picture', async () => {
  const { directory: weights } = await place.halfTaught();
  const preset = place.preset(
    'best',
    `rewards: [is-color]\nrecipe: { use: generate, weights: ${weights}, prompts: [red, blue], rationaleTokens: 4 }\n`,
  );
  const lines = (directory: string): Record<string, unknown>[] =>
    readFileSync(join(directory, 'drawings.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  const four = await place.run(preset, { settings: ['samplesPerPrompt=4'] });
  const best = await place.run(preset, { settings: ['bestOf=4', 'chosenBy=is-color'] });
  const all = lines(four.directory);
  for (const [prompt, line] of lines(best.directory).entries()) {
    const from = line['chosenFrom'] as number[];
    expect(from).toHaveLength(4);
    const candidates = all.slice(4 * prompt, 4 * prompt + 4).map(({ codes }) => codes);
    expect(line['codes']).toEqual(candidates[from.indexOf(Math.max(...from))]);
    expect(line['settings']).toMatchObject({ bestOf: 4, chosenBy: 'is-color' });
  }
  expect(readPngText(readFileSync(join(best.directory, '00000.png')))).toMatchObject({
    bestOf: '4',
    chosenBy: 'is-color',
  });
});

test('an evaluation says who chose, and the benchmark alone scores', async () => {
  const { directory: weights } = await place.halfTaught();
  const preset = place.preset(
    'score',
    `rewards: [is-color]\nrecipe: { use: evaluate, weights: ${weights}, count: 4, splits: [heldout], rationaleTokens: 4, bestOf: 3, chosenBy: is-color }\n`,
  );
  const { directory } = await place.run(preset);
  const record = evaluationOf(directory, 'swatches.heldout.evaluation');
  expect(record.sampling).toMatchObject({ bestOf: 3, chosenBy: 'is-color' });
  // The same three drawings of each prompt, all of them kept: the one that was chosen is right where any is.
  const three = await place.run(preset, { settings: ['samplesPerPrompt=3', 'bestOf=1', 'rewards=[]'] });
  const passes = (folder: string): boolean[] =>
    readFileSync(join(folder, 'evaluations/swatches.heldout.evaluation.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { pass: boolean }).pass);
  const all = passes(three.directory);
  expect(passes(directory)).toEqual([0, 1, 2, 3].map((prompt) => all.slice(3 * prompt, 3 * prompt + 3).some(Boolean)));
  expect(new Set(all).size).toBe(2);
  expect(record.samples.every(({ scores }) => Object.keys(scores).length === 0)).toBe(true);
});

describe('evaluate --best-of --chosen-by', () => {
  const evaluate = async (...flags: string[]): Promise<CommandEnd & { readonly directory: string }> => {
    const { directory: weights } = await place.halfTaught();
    const preset = place.preset('flags', 'rewards: [is-color]\nrecipe: { use: evaluate, rationaleTokens: 4 }\n');
    const directory = place.free('flags');
    const small = ['--set', 'count=2', '--set', 'splits=[heldout]', '--set', 'rationaleTokens=4', '--set', 'batch=6'];
    const asked = ['evaluate', preset, '--weights', weights, '--run-dir', directory, ...flags, ...small];
    return { ...(await place.command(...asked)), directory };
  };

  test('choose by the reward that is named, and say so', async () => {
    const { code, errors, directory } = await evaluate('--best-of', '3', '--chosen-by', 'is-color');
    expect(code, errors).toBe(0);
    expect(evaluationOf(directory, 'swatches.heldout.evaluation').sampling).toMatchObject({
      bestOf: 3,
      chosenBy: 'is-color',
    });
  });

  test.each([
    ['nobody who chooses', ['--best-of', '3'], /NO_CHOOSER[^]*no reward is named/],
    ['one who is not there', ['--best-of', '3', '--chosen-by', 'nobody'], /nobody/],
  ])('%s is refused, in the words of the flags', async (_, flags, says) => {
    const { code, errors } = await evaluate(...flags);
    expect(code).toBe(2);
    expect(errors).toMatch(says);
  });
});
