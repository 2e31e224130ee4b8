/** Presets for published models, planned without their weights: published values, and memory that fits the card each promises. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { knownAdapters } from '../../core/gpu/known-adapters.ts';
import { silentLog } from '../../core/log.ts';
import { describePlan, totalBytes } from '../../core/plan.ts';
import { loadPreset } from '../../core/preset/load.ts';
import { planStage, type PlanTarget } from '../../core/plan-stage.ts';
import { makeHubShells } from '../support/hub-shells.ts';
import { root } from '../support/runs.ts';

const folder = join(root, 'presets');
const files = ['1b', '7b'].flatMap((size) =>
  readdirSync(join(folder, `janus-pro-${size}`))
    .filter((name) => /^(sft|grpo)/.test(name))
    .map((name) => `janus-pro-${size}/${name}`),
);
const before = process.env['HF_HUB_CACHE'];
let cache: string;
beforeAll(() => {
  cache = mkdtempSync(join(tmpdir(), 'reasongen-'));
  makeHubShells(cache);
  process.env['HF_HUB_CACHE'] = cache;
});
afterAll(() => {
  rmSync(cache, { recursive: true });
  if (before === undefined) delete process.env['HF_HUB_CACHE'];
  else process.env['HF_HUB_CACHE'] = before;
});

/** NVIDIA's H100, as far as it is known. */
const h100 = knownAdapters.get('h100');
if (h100 === undefined) throw new Error('no card');
const gpu: PlanTarget = h100;

/** The codec has weights of its own, and a data set is not there: random ones and an empty folder stand for them. */
function shellSettings(name: string): string[] {
  return [
    'imageTokenizer.checkpoint=null',
    'imageTokenizer.weights=random',
    ...(name.includes('sft') ? [`dataset.path=${cache}`] : []),
  ];
}

test.each(['1b', '7b'])(
  'janus-pro-%s is measured as it was published: all of GenEval, four pictures a prompt, guidance 5',
  async (size) => {
    const settings = [...shellSettings('evaluate'), 'judges=[]', 'recipe.weights=random'];
    const loaded = await loadPreset(join(folder, `janus-pro-${size}/evaluate.yaml`), { settings });
    const [stage] = loaded.stages;
    expect(stage?.preset.components['recipe']?.[0]?.options).toMatchObject({
      guidance: 5,
      imageTemperature: 1,
      rationaleTokens: 448,
    });
    const plan = await planStage(loaded, stage!, silentLog(), gpu);
    expect(plan.lines).toContain('geneval: 1 split(s) x 553 prompts x 4 pictures, 16 pictures at once');
  },
);

test('both models have all four presets of training', () => {
  expect(files.sort()).toEqual(
    ['1b', '7b']
      .flatMap((size) => ['grpo-lora', 'grpo', 'sft-lora', 'sft'].map((stage) => `janus-pro-${size}/${stage}.yaml`))
      .sort(),
  );
});

test.each(files)('%s starts with the schema line, says what it does and how to run it', (name) => {
  const text = readFileSync(join(folder, name), 'utf8');
  expect(text).toMatch(/^# yaml-language-server: \$schema=\.\.\/schema\.json\n# \w/);
  expect(text).toMatch(/^# {3}npx reasongen /m);
  expect(text.split('\n').length).toBeLessThanOrEqual(52);
});

describe('published values', () => {
  const recipeOf = async (
    name: string,
  ): Promise<{ recipe: Readonly<Record<string, unknown>>; optimizer: Readonly<Record<string, unknown>> }> => {
    const { stages } = await loadPreset(join(folder, name), { settings: shellSettings(name) });
    const components = stages[0]?.preset.components;
    return {
      recipe: components?.['recipe']?.[0]?.options ?? {},
      optimizer: components?.['optimizer']?.[0]?.options ?? {},
    };
  };

  test.each(['1b', '7b'])('SFT of the %s', async (size) => {
    const { recipe, optimizer } = await recipeOf(`janus-pro-${size}/sft.yaml`);
    expect(optimizer).toMatchObject({ learningRate: 1e-5, betas: [0.9, 0.95], weightDecay: 0.01, maxNorm: 1 });
    expect(recipe).toMatchObject({
      batch: 128,
      microBatch: 4,
      promptDropout: 0.1,
      textWeight: 2,
      imageWeight: 1,
      schedule: 'cosine',
      warmup: 0.05,
      saveEvery: 500,
    });
  });

  test.each(['1b', '7b'])('GRPO of the %s', async (size) => {
    const { recipe, optimizer } = await recipeOf(`janus-pro-${size}/grpo.yaml`);
    expect(optimizer).toMatchObject({ learningRate: 5e-6, betas: [0.9, 0.999], weightDecay: 0.01, maxNorm: 1 });
    const published = {
      steps: 400,
      prompts: 32,
      groupSize: 8,
      miniBatches: 2,
      epochs: 1,
      clipLow: 0.2,
      clipHigh: 0.2,
      rationaleTokens: 448,
      promptTokens: 157,
      guidance: 1,
      logitClamp: 30,
      refillRounds: 7,
      schedule: 'constant',
      warmup: 0,
      saveEvery: 100,
    };
    expect(recipe).toMatchObject({
      ...published,
      textEntropy: { target: 2, bound: 5e-3 },
      imageEntropy: { target: 7, bound: 5e-3 },
    });
  });
});

/** The largest of each kind: what is not planned here takes less than one that is. */
test.each([
  ['janus-pro-1b/sft-lora.yaml', 24],
  ['janus-pro-1b/grpo-lora.yaml', 24],
  ['janus-pro-7b/grpo-lora.yaml', 80],
])('%s fits a card of %i GB', async (name, gigabytes) => {
  const loaded = await loadPreset(join(folder, name), { settings: shellSettings(name) });
  const [stage] = loaded.stages;
  if (stage === undefined) throw new Error('no stage');
  const plan = await planStage(loaded, stage, silentLog(), gpu);
  expect(totalBytes(plan)).toBeLessThan(gigabytes * 1e9);
  // Far less would mean that something is not counted.
  expect(totalBytes(plan)).toBeGreaterThan(gigabytes * 1e9 * 0.2);
  // As the page says it, in the table of what presets need.
  const [folderName = '', file = ''] = name.split('/');
  const rows = readFileSync(join(folder, 'README.md'), 'utf8').split('<!-- memory-table -->')[1] ?? '';
  const [, small, large] = new RegExp(`\\| \`${file}\`[^|]*\\| ([\\d.]+) GB[^|]*\\| ([\\d.]+) GB`).exec(rows) ?? [];
  expect(Number(folderName.endsWith('1b') ? small : large)).toBeCloseTo(totalBytes(plan) / 1e9, 1);
  expect(plan.largestBinding).toBeLessThan(2 ** 31);
  expect(plan.inParts).toEqual([]);
});

test('a card that binds less has larger weights in parts, and the plan names them', async () => {
  const arc = knownAdapters.get('arc');
  if (arc === undefined) throw new Error('no card');
  const name = 'janus-pro-7b/sft.yaml';
  const loaded = await loadPreset(join(folder, name), { settings: shellSettings(name) });
  const plan = await planStage(loaded, loaded.stages[0]!, silentLog(), arc);
  expect(plan.largestBinding).toBeLessThanOrEqual(arc.limits.maxStorageBufferBindingSize);
  expect(plan.inParts).toContainEqual({ name: 'lm_head.weight', parts: 2 });
  expect(describePlan(plan).at(-1)).toContain('lm_head.weight in 2');
});
