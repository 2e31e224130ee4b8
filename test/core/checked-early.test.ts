/** What a run would refuse is said by its plan, of which `check` is one; and a run works with the components it was planned with. */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import Module from 'node:module';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { createContainer } from '../../core/container.ts';
import { formatError, type ReasongenError } from '../../core/errors.ts';
import { encodeSafetensors } from '../../core/io/safetensors.ts';
import { silentLog } from '../../core/log.ts';
import { StagePlanner, unknownAdapter } from '../../core/plan-stage.ts';
import { loadCatalogOf, loadPreset } from '../../core/preset/load.ts';
import { root, Workplace } from '../support/runs.ts';

const place = new Workplace();
afterEach(() => {
  vi.restoreAllMocks();
});

const preset = (text: string): string =>
  place.preset('planned', `rewards: [is-color]\noptimizer: { use: adamw, learningRate: 1e-3 }\n${text}\n`);

/** Plans the last stage. No device is opened. */
async function plan(file: string, settings: readonly string[] = [], resume = false): Promise<unknown> {
  const loaded = await loadPreset(file, { settings, runDirectory: place.path('somewhere') });
  const stage = loaded.stages.at(-1);
  if (stage === undefined) throw new Error('a preset has a stage');
  const container = createContainer(loaded.catalog.plugins).openRun({
    preset: stage.preset,
    log: silentLog(),
    path: (relative) => relative,
    openDevice: () => Promise.reject(new Error('a plan opens no device')),
  });
  const parts = { container, loaded, stage, log: silentLog(), target: unknownAdapter(), resume };
  try {
    return await new StagePlanner(parts).plan();
  } finally {
    await container.dispose();
  }
}

/** A file with one tensor that no model knows. */
function foreignWeights(name: string, metadata = {}): string {
  const tensors = new Map([['some.weight', { shape: [2, 2], data: new Float32Array(4) }]]);
  return place.write(name, Buffer.concat(encodeSafetensors(tensors, metadata)));
}

const codec = (size: number): string =>
  `imageTokenizer: { use: vq, weights: random, sizes: { imageSize: ${size}, baseChannels: 32, multipliers: [1, 1], blocks: 1, latentChannels: 32, embeddingDimension: 4, codes: 32 } }\n`;

test.each([
  ['examples', 'recipe: { use: sft, steps: 1 }'],
  ['examples that are judged again', 'recipe: { use: reconstruct, count: 2 }'],
  ['pictures that train a codec', 'recipe: { use: train-codec, steps: 1, codec: { imageSize: 16 } }'],
])('pictures of another size than the codec takes: %s', async (_, recipe) => {
  await expect(plan(preset(codec(16) + recipe))).rejects.toMatchObject({
    code: 'PICTURE_SIZE',
    message: expect.stringMatching(/8 x 8 .* 16/) as string,
  });
});

test.each([
  ['nope', /no number "pass\/swatches\/nope"/],
  ['pool', /no number "pass\/swatches\/pool"/],
  ['seen', /no evaluation of this run measures "pass\/swatches\/seen"/],
])('the best checkpoint by a split that is not evaluated: %s', async (split, message) => {
  const best = (metric: string): string =>
    preset(
      `recipe: { use: grpo, steps: 1, prompts: 2, groupSize: 2, evaluations: 1, keepBest: { metric: ${metric} } }`,
    );
  const error = await plan(best(`pass/swatches/${split}`)).catch((cause: unknown) => cause);
  expect(error).toMatchObject({ code: 'UNKNOWN_METRIC', exitCode: 2 });
  const shown = formatError(error as ReasongenError);
  expect(shown).toMatch(message);
  expect(shown).toMatch(/pass\/swatches\/(heldout|seen)/);
  await plan(best('pass/swatches/heldout'));
});

/** Node finds no package of that name. */
function hidePackage(name: string): void {
  const key = '_resolveFilename';
  const resolver = Module as unknown as Record<typeof key, (request: string, ...more: readonly unknown[]) => string>;
  const found = resolver[key].bind(resolver);
  vi.spyOn(resolver, key).mockImplementation((request, ...more) => {
    if (request === name) throw Object.assign(new Error(`Cannot find module '${name}'`), { code: 'MODULE_NOT_FOUND' });
    return found(request, ...more);
  });
}

const clip = `model: ${join(root, 'test/golden/evidence/clip')}`;
const chat = 'url: "http://127.0.0.1:9/v1", model: any';

test.each([
  ['openai', 'OPENAI_MISSING', 'a reward', `rewards: [{ use: chat-judge, ${chat} }]`],
  ['openai', 'OPENAI_MISSING', 'a judge', `rewards: [is-color]\njudges: [{ use: chat-judge, ${chat} }]`],
  ['onnxruntime-node', 'ONNXRUNTIME_MISSING', 'a judge', `rewards: [is-color]\njudges: [{ use: clip-score, ${clip} }]`],
])('the package %s is missing: %s, for %s', async (name, code, _, named) => {
  const file = place.preset(
    'packages',
    `${named}\noptimizer: { use: adamw, learningRate: 1e-3 }\nrecipe: { use: grpo, steps: 1, prompts: 2, groupSize: 2 }\n`,
  );
  await plan(file);
  hidePackage(name);
  await expect(plan(file)).rejects.toMatchObject({
    code,
    message: expect.stringContaining(`the package ${name}`) as string,
    hint: expect.stringContaining('install') as string,
    exitCode: 2,
  });
});

describe('weights that do not fit the model', () => {
  test.each([
    ['sft', 'use: sft, steps: 1, batch: 2, examples: 8'],
    ['sft of adapters', 'use: sft, steps: 1, batch: 2, examples: 8, lora: { rank: 2 }'],
    ['grpo', 'use: grpo, steps: 1, prompts: 2, groupSize: 2'],
    ['generate', 'use: generate, prompts: [a cat]'],
    ['evaluate', 'use: evaluate, count: 1'],
    ['train-codec', 'use: train-codec, steps: 1, batch: 1, codec: { imageSize: 8 }'],
  ])('%s', async (name, recipe) => {
    foreignWeights('other.safetensors');
    const backbone = name === 'train-codec' ? 'backbone: null\n' : '';
    const file = preset(`${backbone}recipe: { ${recipe}, weights: other.safetensors }`);
    await expect(plan(file)).rejects.toMatchObject({
      code: 'CHECKPOINT_SHAPE',
      message: expect.stringMatching(/missing: .*(unexpected: some\.weight|and \d+ more)/s) as string,
    });
  });

  test('of another vocabulary', async () => {
    foreignWeights('foreign.safetensors', { tokenizer: 'f'.repeat(64) });
    const file = preset('recipe: { use: sft, steps: 1, weights: foreign.safetensors }');
    await expect(plan(file)).rejects.toMatchObject({ code: 'OTHER_VOCABULARY' });
  });

  test('of a run and of a checkpoint; a resumed run has its own, and an earlier stage has yet to make them', async () => {
    const checkpoint = place.path('run/checkpoints/step-000002');
    mkdirSync(checkpoint, { recursive: true });
    writeFileSync(join(checkpoint, 'manifest.json'), '{}');
    copyFileSync(foreignWeights('any.safetensors'), join(checkpoint, 'weights.safetensors'));
    const file = preset('recipe: { use: sft, steps: 1, batch: 2, examples: 8, weights: run }');
    for (const path of [place.path('run'), checkpoint])
      await expect(plan(file, [`recipe.weights=${path}`])).rejects.toMatchObject({ code: 'CHECKPOINT_SHAPE' });
    expect(await plan(file, [], true)).toHaveProperty('lines');
    const second = '{ preset: planned.yaml, name: second, set: { recipe.weights: "stage:planned" } }';
    expect(await plan(place.write('chain.yaml', `stages: [planned.yaml, ${second}]\n`))).toHaveProperty('lines');
  });
});

test('every component of a run is made once, those that use the device in its plan as well', async () => {
  const catalog = await loadCatalogOf([join(root, 'test/support/swatches.ts')]);
  const spies = catalog.plugins.flatMap(({ provides }) => provides.map((each) => vi.spyOn(each, 'create')));
  await place.run(preset(`${codec(8)}recipe: { use: sft, steps: 1, batch: 2, examples: 4 }`));
  const counts = spies.map(({ mock }) => mock.calls.length).filter((count) => count > 0);
  // dataset, tokenizer, imageTokenizer, backbone, optimizer, reward, benchmark, recipe
  expect(counts).toEqual(Array<number>(8).fill(1));
});
