/** The same preset and seed give the same run bit for bit, and so does a run that is stopped and resumed: what was restored first, then every step. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { expectMessage } from '../../bad-input/message.ts';
import { expectRestored, expectSameRun } from '../../support/resumed.ts';
import { evaluationOf, metricsOf, Workplace, type Ended } from '../../support/runs.ts';

const place = new Workplace();

const adamw = 'optimizer: { use: adamw, learningRate: 2e-3 }';
const controller = '{ target: 0.3, rate: 0.05, bound: 0.2 }';
const steps = 7;

/** Presets that use everything a resume must restore: schedules, data positions, pools, controllers, references, carried groups, counts of updates. */
const presets: Readonly<Record<string, () => Promise<string>>> = {
  sft: async () =>
    place.preset(
      'sft',
      `${adamw}\nrecipe: { use: sft, steps: ${steps}, batch: 12, microBatch: 5, examples: 20, schedule: cosine, warmup: 3, saveEvery: 100 }\n`,
    ),
  grpo: async () => {
    const { directory } = await place.halfTaught();
    const recipe = `prompts: 6, groupSize: 4, pool: 7, rationaleTokens: 12, imageTemperature: 1, textEntropy: ${controller}, imageEntropy: ${controller}`;
    const kl = 'microBatch: 8, kl: { coefficient: 0.02, target: 0.01, resetEvery: 2, horizon: 100 }';
    // A model this small and this fast may leave its reference far behind; what counts here is that it does so alike.
    const records = 'evaluations: 8, evaluateEvery: 3, schedule: linear, saveEvery: 100, guards: { drift: off }';
    return place.preset(
      'grpo',
      `${adamw}\nrewards: [is-color]\nrecipe: { use: grpo, weights: ${directory}, steps: ${steps}, ${recipe}, ${kl}, ${records} }\n`,
    );
  },
  // 20 examples in batches of 12: an epoch ends within a step.
  'lora, 8-bit states, average': async () => {
    const base = await place.run(
      place.preset('base', `${adamw}\nrecipe: { use: sft, steps: 2, batch: 8, examples: 8 }\n`),
    );
    return place.preset(
      'lora',
      `optimizer: { use: adamw-8bit, learningRate: 2e-3 }\nrecipe: { use: sft, weights: ${base.directory}, steps: ${steps}, batch: 12, examples: 20, schedule: cosine, warmup: 2, saveEvery: 100, lora: { rank: 4, dropout: 0.1 }, ema: { decay: 0.5 } }\n`,
    );
  },
  'train-codec': async () => {
    const codec =
      'codec: { imageSize: 8, baseChannels: 8, multipliers: [1, 2], encoderBlocks: [1, 1], decoderBlocks: [1, 1], groups: 4, latentChannels: 8, embeddingDimension: 4, codes: 16 }';
    return place.preset(
      'codec',
      `${adamw}\nrecipe: { use: train-codec, steps: ${steps}, batch: 4, ${codec}, startCodesAt: 2, restartEvery: 2, warmup: 2, saveEvery: 100 }\n`,
    );
  },
};

const expectSame = (one: Ended, other: Ended, name: string): Promise<void> => expectSameRun(one, other, steps, name);

describe.each(Object.keys(presets))('%s', (name) => {
  let whole: Ended;
  const preset = (): Promise<string> => presets[name]?.() ?? Promise.reject(new Error(name));

  test('twice: the same numbers and weights', async () => {
    whole = await place.run(await preset());
    await expectSame(whole, await place.run(await preset()), `${name} twice`);
    // Two of the tests below stop where a group waits to be carried over: the next step takes it from the checkpoint.
    if (name === 'grpo')
      for (const step of [2, 4])
        expect(Number(metricsOf(whole.directory)[step - 1]?.['carriedGroups'])).toBeGreaterThan(0);
  });

  test('with another seed: other ones', async () => {
    const other = await place.run(await preset(), { settings: ['seed=4'] });
    expect(metricsOf(other.directory)).not.toEqual(metricsOf(whole.directory));
  });

  test.each([[1], [3], [6]])(
    'stopped after step %i and resumed: restored exactly, then the same',
    async (stopAfter) => {
      const stopped = await place.run(await preset(), { stopAfter });
      expect(stopped.code).toBe(130);
      expect(metricsOf(stopped.directory)).toHaveLength(stopAfter);
      await expectRestored(place, stopped, stopAfter, `${name} restored at ${stopAfter}`);
      const resumed = await place.run('', { resume: stopped });
      expect(resumed.code).toBe(0);
      await expectSame(whole, resumed, `${name} gone on with at ${stopAfter}`);
      if (!existsSync(`${whole.directory}/evaluations`)) return;
      for (const label of ['before', 'step-000003', 'step-000006', 'after']) {
        for (const split of ['heldout', 'pool']) {
          expect(evaluationOf(resumed.directory, `swatches.${split}.${label}`)).toEqual(
            evaluationOf(whole.directory, `swatches.${split}.${label}`),
          );
        }
      }
    },
  );
});

test('a run that ended is left alone when it is resumed, and that is no success', async () => {
  const run = await place.run(await (presets['sft'] as () => Promise<string>)(), { settings: ['recipe.steps=1'] });
  const before = await readFile(`${run.directory}/run.json`);
  const end = await place.command('resume', run.directory);
  expectMessage(end, {
    exit: 7,
    code: 'NOTHING_TO_TRAIN',
    place: run.directory,
    says: [
      /this run is done: resuming it would train zero steps/,
      /To train further: npx reasongen resume .* --set recipe\.steps=N/,
    ],
  });
  expect(end.errors).toMatch(/sft is done already/);
  expect(await readFile(`${run.directory}/run.json`)).toEqual(before);
});
