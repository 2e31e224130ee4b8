/** Every option of a recipe is read by its plan or within a step, nested ones included: one that nobody reads does nothing, in silence. */
import { afterEach, expect, test, vi } from 'vitest';
import type { Component } from '../../../core/contracts/slots.ts';
import { encodePng } from '../../../core/io/image.ts';
import { askRecipe } from '../../../core/recipes/ask.ts';
import { reconstruct } from '../../../core/recipes/codec/reconstruct.ts';
import { trainCodec } from '../../../core/recipes/codec/train-codec.ts';
import { evaluateRecipe } from '../../../core/recipes/evaluate.ts';
import { generateRecipe } from '../../../core/recipes/generate.ts';
import { grpo } from '../../../core/recipes/grpo/grpo.ts';
import { sft } from '../../../core/recipes/sft/sft.ts';
import { isMetric } from '../../../core/preset/metric-name.ts';
import { side } from '../../support/colors.ts';
import { janusFolder } from '../../support/janus-folder.ts';
import { metricsOf, Workplace } from '../../support/runs.ts';

const place = new Workplace();
afterEach(() => {
  vi.restoreAllMocks();
});

/** Names of options by path: `kl.target`, `promptFiles.*.weight`. */
interface Options {
  readonly given: Set<string>;
  readonly read: Set<string>;
}

/**
 * `value`, which notes what is read of it. A spread reads every key and means none of them: only of a nested object, which is handed
 * on whole, does it count.
 */
function watched<Value>(value: Value, path: string, options: Options): Value {
  if (typeof value !== 'object' || value === null) return value;
  const isList = Array.isArray(value);
  const copy = (isList ? [...value] : { ...value }) as Value & object;
  const pathOf = (key: string): string => [path, isList ? '*' : key].filter(Boolean).join('.');
  let spread: unknown;
  for (const key of Object.keys(copy)) options.given.add(pathOf(key));
  return new Proxy(copy, {
    getOwnPropertyDescriptor: (target, key) => {
      spread = key;
      return Reflect.getOwnPropertyDescriptor(target, key);
    },
    get: (target, key) => {
      const isSpread = spread === key;
      spread = undefined;
      const found: unknown = Reflect.get(target, key);
      if (typeof key === 'symbol' || !Object.hasOwn(target, key)) return found;
      if (!isSpread || path !== '') options.read.add(pathOf(key));
      return watched(found, pathOf(key), options);
    },
  });
}

/** Runs presets with the recipe; the options that they gave and nobody read. */
async function unread(recipe: Component<'recipe'>, presets: readonly string[]): Promise<string[]> {
  const options: Options = { given: new Set(Object.keys(recipe.options.shape)), read: new Set() };
  const { create } = recipe;
  const said = recipe.metrics && vi.spyOn(recipe as Required<typeof recipe>, 'metrics');
  vi.spyOn(recipe, 'create').mockImplementation((choice, scope) => create(watched(choice, '', options), scope));
  for (const preset of presets) {
    const { directory } = await place.run(place.preset('options', preset));
    // What is checked in a preset is what steps have.
    const known = ['step', 'unixSeconds', ...((said?.mock.results.at(-1)?.value ?? []) as string[])];
    const names = new Set(metricsOf(directory).flatMap(Object.keys));
    expect([...names].filter((name) => !isMetric(name, known))).toEqual([]);
  }
  // What a guard does is read where one acts: test/bad-input/guards.test.ts provokes each.
  return [...options.given].filter((name) => !options.read.has(name) && !name.startsWith('guards.'));
}

const optimizer = 'optimizer: { use: adamw, learningRate: 1e-3 }\n';
const training =
  'schedule: linear, warmup: 0.5, constantShare: 0.1, saveEvery: 1, keepEvery: 2, ema: { decay: 0.9, start: 1 }';

test('sft', async () => {
  const { directory } = await place.halfTaught();
  const common = `use: sft, steps: 3, batch: 4, examples: 8, validation: { every: 1, examples: 4 }, ${training}`;
  expect(
    await unread(sft, [
      `${optimizer}recipe: { ${common}, microBatch: 2, imageStartWeight: 1, longest: 600, ramp: { classes: [image], from: 0, to: 0.9 }, klWeight: 0.1, recompute: { budget: 1 MiB }, weights: ${directory}, keepBest: { metric: loss, mode: min } }\n`,
      `${optimizer}recipe: { ${common}, weights: ${directory}, precision: f16, lora: { rank: 2, alpha: 4, dropout: 0.5, target: ['*_proj.weight'] } }\n`,
    ]),
    // Read only where the dataset has files, which the tiny one has not.
  ).toEqual(['keepCodes']);
});

test('grpo', async () => {
  const { directory } = await place.halfTaught();
  const file = place.write('prompts.txt', 'a red picture\na green picture\n');
  const held = place.write('held.txt', 'a blue picture\n');
  const common = `use: grpo, weights: ${directory}, steps: 3, prompts: 2, groupSize: 4, refillRounds: 0, rationaleTokens: 6, imageTemperature: 1, ${training}`;
  const kl = 'kl: { coefficient: 0.1, target: 0.01, horizon: 100, estimator: k2';
  expect(
    await unread(grpo, [
      `rewards: [is-color]\n${optimizer}recipe: { ${common}, ${kl}, place: loss, resetEvery: 1 }, microBatch: 2, recompute: { budget: 1 MiB }, promptsAtOnce: 1, downSample: 2, staleness: 1, importanceCap: 3, pool: 2, dualClip: 3, aggregation: token-mean, normalize: batch, tasks: [color], curriculum: [{ from: 1, tasks: [color] }], textEntropy: { target: 1, rate: 0.01, bound: 0.1, initial: 0.01 }, imageEntropy: { target: 1 }, guidance: 1.5, detachUnconditional: true, logitClamp: 30, samplingPrecision: f16, evaluations: 1, evaluateEvery: 2, samplesEvery: 2, samplesShown: 1, evaluationSampling: { textTemperature: 0, textTopK: 1, textTopP: 0.9, imageTemperature: 0, imageTopK: 1, imageTopP: 0.9, guidance: 1 }, keepBest: { metric: reward, mode: max } }\n`,
      `dataset: null\nbenchmarks: []\nrewards: [{ use: faulty, fault: half-blind }]\n${optimizer}recipe: { ${common}, ${kl}, place: reward }, promptFiles: [{ file: ${file}, weight: 2, task: color }], evaluationFiles: [{ file: ${held} }], evaluations: 1, lora: { rank: 2, alpha: 4, target: ['*_proj.weight'] } }\n`.replace(
        ', ema: { decay: 0.9, start: 1 }',
        '',
      ),
    ]),
  ).toEqual([]);
});

test('evaluate', async () => {
  const { directory } = await place.halfTaught();
  const sampling = `weights: ${directory}, rationaleTokens: 6, samplesPerPrompt: 1`;
  const best = 'rewards: [is-color, { use: is-color, name: chooser }]\n';
  expect(
    await unread(evaluateRecipe, [
      `${best}recipe: { use: evaluate, ${sampling}, count: 2, batch: 2, bestOf: 2, chosenBy: chooser }\n`,
    ]),
  ).toEqual([]);
});

test('generate', async () => {
  const { directory } = await place.halfTaught();
  const file = place.write('drawn.txt', 'a green picture\n');
  const sampling = `weights: ${directory}, rationaleTokens: 6, batch: 2, samplesPerPrompt: 1`;
  const prompts = `prompts: [a red picture, { prompt: a blue picture, rationale: blue }], promptFile: ${file}`;
  expect(
    await unread(generateRecipe, [
      `rewards: [is-color]\nrecipe: { use: generate, ${sampling}, ${prompts}, bestOf: 2, chosenBy: is-color }\n`,
    ]),
  ).toEqual([]);
});

test('ask', async () => {
  const model = janusFolder(place.path('model'), 'tiny-a');
  const picture = place.write('seen.png', await encodePng({ width: 2, height: 1, data: new Uint8Array(6) }));
  const parts = `tokenizer: { use: huggingface, file: ${model} }\nbackbone: { use: janus-checkpoint, checkpoint: ${model} }\n`;
  const turns = `turns: [{ question: what, pictures: [${picture}], answer: that }, { question: what else }]`;
  const preset = `dataset: null\nbenchmarks: []\nimageTokenizer: null\n${parts}`;
  expect(
    await unread(askRecipe, [`${preset}recipe: { use: ask, weights: ${model}, ${turns}, answerTokens: 2 }\n`]),
  ).toEqual([]);
});

test('train-codec', async () => {
  const codec = `imageSize: ${side}, baseChannels: 8, multipliers: [1, 1], encoderBlocks: [0, 0], decoderBlocks: [0, 0], groups: 2, latentChannels: 8, codes: 8`;
  const common = `use: train-codec, batch: 2, codec: { ${codec} }, saveEvery: 1, startCodesAt: 1, restartEvery: 1, warmup: 1`;
  const first = await place.run(
    place.preset(
      'codec',
      `imageTokenizer: null\nbackbone: null\ntokenizer: null\nbenchmarks: []\n${optimizer}recipe: { ${common}, steps: 1 }\n`,
    ),
  );
  const weights = `weights: ${first.directory}/checkpoints/step-000001/weights.safetensors`;
  expect(
    await unread(trainCodec, [
      `imageTokenizer: null\nbackbone: null\ntokenizer: null\nbenchmarks: []\n${optimizer}recipe: { ${common}, steps: 2, ${weights} }\n`,
    ]),
  ).toEqual([]);
});

test('reconstruct', async () => {
  expect(await unread(reconstruct, ['recipe: { use: reconstruct, count: 2, pictures: 1 }\n'])).toEqual([]);
});

test('an option that nobody reads is found, and a spread is no reading', async () => {
  const options: Options = { given: new Set(), read: new Set() };
  const choice = watched({ a: 1, b: { c: 2, d: 3 }, e: [{ f: 4, g: 5 }] }, '', options);
  const spread = { ...choice };
  expect(spread.b.c + (choice.e[0]?.f ?? NaN)).toBe(6);
  expect([...options.given].filter((name) => !options.read.has(name))).toEqual(['a', 'b', 'b.d', 'e.*.g']);
});
