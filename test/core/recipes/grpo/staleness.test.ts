/** Groups drawn a step ahead: what they weigh, that a run with them is one run, and what a resumed one says. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  targetTables,
  denominators,
  packCompletions,
  type Completion,
} from '../../../../core/recipes/grpo/completions.ts';
import { importanceOf } from '../../../../core/recipes/grpo/importance.ts';
import { at } from '../../../../core/testing.ts';
import type { Tokenizer } from '../../../../core/contracts/tokenizer.ts';
import { checkpointOf, metricsOf, Workplace, type Ended } from '../../../support/runs.ts';

const choice = {
  method: 'clip',
  importanceCap: 2,
  rationale: true,
  guidance: 1,
  textTemperature: 1,
  imageTemperature: 1,
  textWeight: 1,
  imageWeight: 1,
  rationaleTokens: 6,
} as const;

/** Two rationale tokens, an image start that was forced, two codes. */
function completionOf(logProbability: readonly number[], step: number): Completion {
  return {
    sequence: {
      promptIds: [1, 5],
      rationaleIds: [20, 21],
      imageStartForced: true,
      codes: [40, 41],
      logProbability: Float32Array.from(logProbability),
    },
    advantage: 1,
    step,
  };
}

describe('importance', () => {
  const noted = [-1, -1, 0, -1, -1];
  const scored = Float32Array.from([-1, -1.5, -9, -1 + Math.log(1.5), -1 + Math.log(5)]);
  const completions = [completionOf(noted, 3), completionOf(noted, 4)];
  const both = [scored, Float32Array.from(noted)];
  const notes = completions.map(({ sequence }) => sequence.logProbability);

  test('is the ratio of the policy now to the one that drew, cut at the cap; what was not chosen weighs nothing', () => {
    const { weights, metrics } = importanceOf(completions, notes, both, choice, 4);
    const rounded = [...at(weights, 0)].map((value) => Math.round(value * 1e5) / 1e5);
    expect(rounded).toEqual([1, Math.round(Math.exp(-0.5) * 1e5) / 1e5, 1, 1.5, 2]);
    expect([...at(weights, 1)]).toEqual([1, 1, 1, 1, 1]);
    expect(metrics['importance/truncatedShare']).toBe(1 / 8);
    expect(metrics['importance/staleShare']).toBe(1 / 2);
    expect(metrics['importance/mean']).toBeCloseTo((1 + Math.exp(-0.5) + 1.5 + 2 + 4) / 8, 5);
  });

  test('is one number for a drawing whose ratio is one', () => {
    const { weights } = importanceOf(completions, notes, both, { ...choice, method: 'sequence' }, 4);
    const ratio = Math.exp((0 - 0.5 + Math.log(1.5) + Math.log(5)) / 4);
    for (const token of [0, 1, 3, 4]) expect(at(at(weights, 0), token)).toBeCloseTo(ratio, 5);
  });

  test('multiplies the policy term of its token, and neither entropy nor divergence', () => {
    const tokenizer = { special: { imageStart: 90 } } as unknown as Tokenizer;
    const { weights } = importanceOf(completions, notes, both, choice, 4);
    const batch = packCompletions(completions, tokenizer, choice);
    const by = denominators(completions, choice);
    const tables = (importance: readonly Float32Array[] | undefined): Float32Array =>
      targetTables(
        batch,
        'image',
        completions,
        { old: both, reference: undefined, importance },
        by,
        'token-mean',
        choice,
      ).weights;
    const [plain, weighted] = [tables(undefined), tables(weights)];
    const ratios = [0, 1, 2, 3].map((target) => at(weighted, 4 * target) / at(plain, 4 * target));
    [1.5, 2, 1, 1].forEach((ratio, target) => expect(ratios[target]).toBeCloseTo(ratio, 5));
    for (const column of [1, 2, 3])
      expect([0, 1, 2, 3].map((target) => at(weighted, 4 * target + column))).toEqual(
        [0, 1, 2, 3].map((target) => at(plain, 4 * target + column)),
      );
  });
});

describe('a run', () => {
  const place = new Workplace();
  const steps = 3;
  const late = ['recipe.staleness=1'];
  const prompts = 3;
  let preset: string;
  let stale: Ended;
  beforeAll(async () => {
    preset = place.preset(
      'stale',
      `rewards: [is-color]
optimizer: { use: adamw, learningRate: 1e-2 }
recipe: { use: grpo, steps: ${steps}, prompts: ${prompts}, groupSize: 4, refillRounds: 0, rationaleTokens: 6, saveEvery: 1 }
`,
    );
    stale = await place.run(preset, { settings: late });
  });

  test('draws every step but the first with the weights before the one that trains, and weighs what it drew', () => {
    const [first, ...others] = metricsOf(stale.directory);
    expect(first).toMatchObject({ 'importance/staleShare': 0, 'importance/truncatedShare': 0 });
    expect(first?.['importance/mean']).toBeCloseTo(1, 4);
    expect(Number(first?.['ratioDifference'])).toBeLessThan(1e-3);
    expect(others).toHaveLength(steps - 1);
    for (const metrics of others) {
      expect(metrics).toMatchObject({ 'importance/staleShare': 1 });
      expect(Math.abs(Number(metrics['importance/mean']) - 1)).toBeGreaterThan(1e-4);
      // The policy that drew is gone: nothing tells how well sampler and scorer agree.
      expect(metrics).not.toHaveProperty(['ratioDifference']);
    }
  });

  test('that is gone on with takes the prompts it would have taken, with the weights it has, and says so', async () => {
    const stopped = await place.run(preset, { settings: late, stopAfter: 1 });
    // Prompts of the second step are being drawn, and not yet used.
    expect(checkpointOf(stopped.directory, 1).state['position']).toBe(prompts);
    const resumed = await place.run('', { resume: stopped });
    const note = /step 2 is drawn with the weights behind step 1, .* not that run to the bit/;
    expect(resumed.lines.join('\n')).toMatch(note);
    expect(readFileSync(join(resumed.directory, 'run.json'), 'utf8')).toMatch(note);
    const [whole, own] = [metricsOf(stale.directory), metricsOf(resumed.directory)];
    expect(own[0]).toEqual(whole[0]);
    expect(own[1]).toMatchObject({ 'importance/staleShare': 0 });
    expect(own[1]?.['text/entropy']).not.toBe(whole[1]?.['text/entropy']);
    expect(own[2]).toMatchObject({ 'importance/staleShare': 1 });
    for (const run of [stale, resumed])
      expect(checkpointOf(run.directory, steps).state['position']).toBe(steps * prompts);
  });
});
