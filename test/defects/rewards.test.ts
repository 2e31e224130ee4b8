/** Defects of the published code that concern judges, filters, records and evaluation; the numbers are those of the study's list. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Sample } from '../../core/contracts/reward.ts';
import { decodePicture } from '../../core/io/image.ts';
import { scoreSamples } from '../../core/rl/score.ts';
import { curve, evaluationOf, metricsOf, Workplace, type Ended } from '../support/runs.ts';

const place = new Workplace();

async function grpo(recipe: string, rewards = '[is-color]'): Promise<Ended> {
  const { directory } = await place.halfTaught();
  const text = `rewards: ${rewards}\noptimizer: { use: adamw, learningRate: 2e-3 }\n`;
  return place.run(
    place.preset(
      'grpo',
      `${text}\nrecipe: { use: grpo, weights: ${directory}, rationaleTokens: 12, imageTemperature: 1, ${recipe} }\n`,
    ),
  );
}

describe('evaluation', () => {
  test('defects 3 and 4: it draws as it says: greedy where it is greedy, guided where it is guided, whatever training does', async () => {
    // Eight colors: seeds eight apart ask for the same prompts, and a greedy drawing depends on nothing else.
    const evaluated = async (seed: number, sampling: string): Promise<string[]> => {
      const { directory } = await grpo(
        `steps: 1, prompts: 2, groupSize: 4, evaluations: 8, evaluationPictures: 8, evaluationSeed: ${seed}, evaluationSampling: ${sampling}`,
      );
      const { samples, sampling: said } = evaluationOf(directory, 'swatches.heldout.before');
      expect(said).toMatchObject(
        sampling.includes('guidance')
          ? { guidance: 3, imageTemperature: 1 }
          : { textTemperature: 0, imageTemperature: 0, guidance: 1 },
      );
      expect(
        curve(directory, 'ratioDifference').every((difference) => Number.isNaN(difference) || difference < 1e-5),
      ).toBe(true);
      return Promise.all(
        samples.map(
          async ({ prompt, rationale, image }) =>
            `${prompt}: ${rationale}: ${(await decodePicture(Buffer.from(image, 'base64'))).data.join()}`,
        ),
      );
    };
    const greedy = '{ textTemperature: 0, imageTemperature: 0 }';
    expect(await evaluated(8, greedy)).toEqual(await evaluated(16, greedy));
    const guided = '{ guidance: 3 }';
    expect(await evaluated(8, guided)).not.toEqual(await evaluated(16, guided));
  });
});

test('defects 19 and 26: curves tell of all drawings, any number of prompts will do, and folders are named by the step', async () => {
  const { directory } = await grpo(
    'steps: 3, prompts: 5, groupSize: 3, samplesEvery: 3, samplesShown: 1000',
    '[{ use: faulty, fault: half-blind }]',
  );
  // Step 3 used further rounds: its folder is still the third.
  expect(readdirSync(join(directory, 'samples'))).toEqual(['step-000001', 'step-000003']);
  const samples = readFileSync(join(directory, 'samples/step-000003/samples.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { total: number; advantage: number });
  const { reward, rounds, keptShare } = metricsOf(directory)[2] ?? {};
  expect(rounds).toBe(2);
  expect(samples).toHaveLength(2 * 5 * 3);
  expect(Number(reward)).toBeCloseTo(samples.reduce((sum, { total }) => sum + total, 0) / samples.length, 9);
  expect(Number(keptShare)).toBeLessThan(1);
  // Dropped groups are among them.
  expect(samples.filter(({ advantage }) => advantage === 0).length).toBeGreaterThanOrEqual(3);
});

test('defect 19: when nothing can be learnt the run goes on, with a warning', async () => {
  const { code, lines, directory } = await grpo(
    'steps: 2, prompts: 3, groupSize: 2',
    '[{ use: faulty, fault: constant }]',
  );
  expect(code).toBe(0);
  expect(lines.filter((line) => /none of 6 groups .* no update is made/.test(line))).toHaveLength(2);
  expect(curve(directory, 'reward')).toEqual([0.5, 0.5]);
});

describe('defect 24: without a judge there is no reward', () => {
  test('a preset without one is refused', async () => {
    const end = await place.command(
      'run',
      place.preset(
        'judgeless',
        'rewards: []\noptimizer: { use: adamw, learningRate: 1e-3 }\nrecipe: { use: grpo, steps: 1, prompts: 2 }\n',
      ),
      '--run-dir',
      place.free(),
    );
    expect(end.code).toBe(2);
    expect(end.errors).toMatch(/reward/);
  });

  test('one that gives nothing ends the run instead of being made up for', async () => {
    await expect(grpo('steps: 1, prompts: 2', '[{ use: faulty, fault: not-a-number }]')).rejects.toMatchObject({
      code: 'BAD_SCORES',
    });
  });
});

test('defects 25 and 33: scores keep the order of the samples, are graded, and add up by weight', async () => {
  const samples = Array.from(
    { length: 5 },
    (_, index) => ({ id: String(index), prompt: `prompt ${index}` }) as unknown as Sample,
  );
  const graded = { score: (all: readonly Sample[]) => all.map(({ id }) => Number(id) / 10) };
  const late = {
    score: async (all: readonly Sample[]) =>
      Promise.resolve(all.map(({ id }) => ({ value: 1 - Number(id) / 5, why: `sample ${id}` }))),
  };
  const judged = await scoreSamples(
    [
      { name: 'graded', weight: 2, reward: graded },
      { name: 'late', weight: 0.5, reward: late },
    ],
    samples,
    new AbortController().signal,
  );
  judged.forEach(({ total, scores }, index) => {
    expect(total).toBeCloseTo(2 * (index / 10) + 0.5 * (1 - index / 5), 12);
    expect(scores['late']?.why).toBe(`sample ${index}`);
  });
});
