/** Whatever a run is put together from, it is restored exactly and goes on to the end of the run that nobody stopped. */
import { mkdirSync } from 'node:fs';
import { beforeAll, expect, test } from 'vitest';
import { captionRows, writeJsonLines, writeParquet } from '../../support/captions.ts';
import { expectRestored, expectSameRun, keptCheckpoints } from '../../support/resumed.ts';
import { Workplace } from '../../support/runs.ts';

const place = new Workplace();
const steps = 6;
const every = `steps: ${steps}, saveEvery: 1, keep: 2, keepEvery: 3`;
const controller = '{ target: 0.3, rate: 0.05, bound: 0.2 }';

let taught = '';
beforeAll(async () => {
  taught = (await place.halfTaught()).directory;
  const rows = await captionRows(30);
  mkdirSync(place.path('rows'));
  await writeJsonLines(place.path('rows'), rows);
  writeParquet(place.path('rows.parquet'), rows, 8);
  const lines = (colors: readonly string[], task: string): string =>
    colors.map((color) => JSON.stringify({ prompt: `a ${color} picture`, task, color })).join('\n');
  place.write('warm.jsonl', lines(['red', 'yellow', 'white'], 'warm'));
  place.write('cold.jsonl', lines(['blue', 'green', 'black'], 'cold'));
});

/** A preset by name: who optimizes, and what is trained on. */
const files = (): string => `[{ file: ${place.path('warm.jsonl')}, weight: 2 }, { file: ${place.path('cold.jsonl')} }]`;
const grpo =
  'prompts: 4, groupSize: 4, rationaleTokens: 8, imageTemperature: 1, guards: { drift: off, allFiltered: off }';
const presets: Readonly<Record<string, () => string>> = {
  'SFT with Muon, an average, blocks computed again within a budget, a ramp, a divergence, held-out examples, the best by them':
    () =>
      `optimizer: { use: muon, learningRate: 1e-3 }
recipe: { use: sft, ${every}, batch: 6, microBatch: 4, examples: 20, promptDropout: 0.3, recompute: { budget: 40 KiB }, ema: { decay: 0.6, start: 2 }, klWeight: 0.05, ramp: { classes: [image], from: 0.1, to: 0.8 }, validation: { every: 2, examples: 4 }, keepBest: { metric: validation/loss, mode: min } }`,
  'SFT on shuffled rows of parquet, adapters with dropout over int8 weights, states in bytes, blocks computed again from inputs in f16':
    () =>
      `dataset: { use: caption-data, path: ${place.path('rows.parquet')}, shuffleWindow: 10, prompts: [short_caption, paraphrases], rationales: [step_by_step], heldOut: 0.2 }
optimizer: { use: adamw-8bit, learningRate: 2e-3 }
recipe: { use: sft, weights: ${taught}, ${every}, batch: 7, recompute: true, activations: f16, storage: int8, lora: { rank: 4, dropout: 0.2 }, ema: { decay: 0.5 }, validation: { every: 3, examples: 4 }, schedule: cosine, warmup: 2 }`,
  'SFT on JSON Lines with pictures beside them, Lion, parts of the weights frozen': () =>
    `dataset: { use: caption-data, path: ${place.path('rows')}, shuffleWindow: 5 }
optimizer: { use: lion, learningRate: 1e-3 }
recipe: { use: sft, ${every}, batch: 5, freeze: ['*norm*'], keepBest: { metric: loss, mode: min } }`,
  'GRPO on mixed files with a curriculum, adapters, states in bytes, an average, the best by a reward': () =>
    `optimizer: { use: adamw-8bit, learningRate: 2e-3 }
rewards: [is-color]
recipe: { use: grpo, weights: ${taught}, ${every}, ${grpo}, promptFiles: ${files()}, curriculum: [{ from: 1, tasks: [warm] }, { from: 3, tasks: [warm, cold] }, { from: 5, tasks: [cold] }], lora: { rank: 4 }, kl: { coefficient: 0.02 }, ema: { decay: 0.5, start: 1 }, evaluations: 4, evaluateEvery: 2, keepBest: { metric: reward/is-color } }`,
  'GRPO with Muon, a reference that is reset, controllers, groups carried over, several updates, guidance, a budget for what is kept in f16':
    () =>
      `optimizer: { use: muon, learningRate: 5e-4 }
rewards: [is-color]
recipe: { use: grpo, weights: ${taught}, ${every}, ${grpo}, pool: 5, refillRounds: 2, miniBatches: 2, epochs: 2, microBatch: 8, recompute: { budget: 100 KiB }, activations: f16, guidance: 2, estimator: rloo, method: sequence, kl: { coefficient: 0.02, target: 0.01, resetEvery: 2, horizon: 100 }, textEntropy: ${controller}, imageEntropy: ${controller}, ema: { decay: 0.7 }, evaluations: 0 }`,
  'GRPO with ReMax and a fixed entropy coefficient over weights in bf16, by adapters': () =>
    `optimizer: { use: lion, learningRate: 1e-3 }
rewards: [is-color]
recipe: { use: grpo, weights: ${taught}, ${every}, ${grpo}, estimator: remax, imageEntropyCoefficient: 0.01, storage: bf16, lora: { rank: 4 }, evaluations: 0 }`,
  'GRPO with a divergence in the reward, cispo, mixed files': () =>
    `optimizer: { use: adamw, learningRate: 1e-3 }
rewards: [is-color]
recipe: { use: grpo, weights: ${taught}, ${every}, ${grpo}, promptFiles: ${files()}, method: cispo, kl: { coefficient: 0.05, place: reward, target: 0.02, horizon: 50 }, imageEntropy: ${controller}, evaluations: 0, schedule: linear }`,
  'GRPO with two rewards normalized by themselves, a pool, momentum': () =>
    `optimizer: { use: sgd, learningRate: 1e-2, momentum: 0.9 }
rewards: [is-color, { use: is-color, name: again, weight: 0.5 }]
recipe: { use: grpo, weights: ${taught}, ${every}, ${grpo}, pool: 4, decoupled: true, ema: { decay: 0.5 }, evaluations: 4, evaluateEvery: 3, keepBest: { metric: reward/again, mode: min } }`,
  'a codec with Muon': () =>
    `optimizer: { use: muon, learningRate: 1e-3 }
recipe: { use: train-codec, steps: ${steps}, saveEvery: 1, keep: 2, batch: 4, codec: { imageSize: 8, baseChannels: 8, multipliers: [1, 2], encoderBlocks: [1, 1], decoderBlocks: [1, 1], attention: middle, groups: 4, latentChannels: 8, embeddingDimension: 4, codes: 16 }, startCodesAt: 1, restartEvery: 2, restartUntil: 1, warmup: 2 }`,
  'a codec with states in bytes, from weights': () =>
    `optimizer: { use: adamw-8bit, learningRate: 1e-3 }
recipe: { use: train-codec, steps: ${steps}, saveEvery: 1, keep: 2, batch: 4, codec: { imageSize: 8, baseChannels: 8, multipliers: [1, 2], encoderBlocks: [1, 1], decoderBlocks: [1, 1], groups: 4, latentChannels: 8, embeddingDimension: 4, codes: 16 }, startCodesAt: 3, restartEvery: 2, schedule: linear }`,
};

test.each(Object.keys(presets))(
  '%s',
  async (name) => {
    const number = Object.keys(presets).indexOf(name);
    const preset = place.preset(`combined-${number}`, presets[name]?.() ?? '');
    const whole = await place.run(preset);
    expect(whole.code).toBe(0);
    for (const stopAfter of [2, 5]) {
      const stopped = await place.run(preset, { stopAfter });
      expect(stopped.code).toBe(130);
      await expectRestored(place, stopped, stopAfter, `combination ${number} restored at ${stopAfter}`);
      const resumed = await place.run('', { resume: stopped });
      expect(resumed.code).toBe(0);
      await expectSameRun(whole, resumed, steps, `combination ${number} gone on with at ${stopAfter}`);
      expect(keptCheckpoints(resumed)).toEqual(keptCheckpoints(whole));
    }
  },
  300_000,
);
