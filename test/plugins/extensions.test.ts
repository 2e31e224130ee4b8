/** The extensions of the house, and that every hook is tapped by one of them: a hook that nobody needs is none. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { AdvantagesEvent, DrawnTokens, Extension } from '../../core/contracts/hooks.ts';
import type { Sample } from '../../core/contracts/reward.ts';
import type { Scope } from '../../core/contracts/slots.ts';
import { createHooks, hookList } from '../../core/hooks.ts';
import { silentLog } from '../../core/log.ts';
import { loadCatalogOf } from '../../core/preset/load.ts';
import { savedSamples } from '../../core/recipes/grpo/samples.ts';
import plugin from '../../plugins/extensions/index.ts';

const said: string[] = [];
const scope = { log: { ...silentLog(), warn: (text: string) => void said.push(text) } } as unknown as Scope;

async function make(name: string, options: object, provides = plugin.provides): Promise<Extension> {
  const component = provides.find((each) => each.name === name);
  if (component === undefined) throw new Error(`no extension ${name}`);
  return (await component.create(component.options.parse(options), scope)) as Extension;
}

/** What each needs beside its defaults. */
const needed: Readonly<Record<string, object>> = {
  mlflow: { url: 'http://localhost:1' },
  notify: { url: 'http://localhost:1' },
  trackio: { url: 'http://localhost:1' },
  'prompt-templates': { templates: ['a picture of {prompt}'] },
};

test('every hook has a tap in the repository', async () => {
  const catalog = await loadCatalogOf([]);
  const components = catalog.components('extension');
  const made = await Promise.all(components.map(({ name }) => make(name, needed[name] ?? {}, components)));
  const own = savedSamples({ samplesEvery: 1, samplesShown: 1 }, 1);
  const tapped = new Set([...made, own].flatMap((extension) => Object.keys(extension)));
  expect(Object.keys(hookList).filter((hook) => !tapped.has(hook))).toEqual([]);
});

const sample = (id: string, fields: Partial<Sample> = {}): Sample => ({
  id,
  group: 0,
  copy: 0,
  step: 1,
  phase: 'train',
  prompt: `prompt ${id}`,
  task: 't',
  specification: {},
  rationale: 'because',
  rationaleEnded: true,
  image: { width: 1, height: 1, data: Uint8Array.of(1, 2, 3) },
  codes: [4],
  ...fields,
});

function drawn(text: readonly number[], image: readonly number[]): DrawnTokens {
  const entropy = [...text, 0, ...image];
  return { rationaleIds: text.map(() => 1), codes: image.map(() => 1), entropy, logProbability: entropy.map(() => -1) };
}

function advantagesOf(tokens: readonly DrawnTokens[], more: Partial<AdvantagesEvent> = {}): AdvantagesEvent {
  const samples = tokens.map((_, index) => sample(String(index)));
  const judgements = samples.map(() => ({ total: 1, scores: { one: { value: 1 } } }));
  return {
    step: 1,
    groupSize: tokens.length,
    samples,
    judgements,
    advantages: tokens.map(() => 1),
    drawn: tokens,
    ...more,
  };
}

test('critical-tokens: text and image are ranked apart over all drawings; the image start counts', async () => {
  const extension = await make('critical-tokens', { textShare: 0.5, imageShare: 0.25, otherWeight: 0.1 });
  const hooks = createHooks([{ name: 'mine', extension }]);
  const event = advantagesOf([drawn([3, 0.1], [9, 1]), drawn([0.2, 2], [2, 3])]);
  const { tokenWeights } = hooks.advantages(event);
  expect(tokenWeights).toEqual([
    [1, 0.1, 1, 1, 0.1],
    [0.1, 1, 1, 0.1, 0.1],
  ]);
  const all = createHooks([{ name: 'mine', extension: await make('critical-tokens', { textShare: 1 }) }]);
  expect(
    all
      .advantages(event)
      .tokenWeights?.flat()
      .every((weight) => weight === 1),
  ).toBe(true);
});

test('critical-tokens: weights of an extension before it hold; drawings without a rationale have image codes only', async () => {
  const extension = await make('critical-tokens', { imageShare: 0.5 });
  const hooks = createHooks([{ name: 'mine', extension }]);
  const skipped = { rationaleIds: [], codes: [1, 1], entropy: [1, 2], logProbability: [-1, -1] };
  const { tokenWeights } = hooks.advantages(advantagesOf([skipped], { tokenWeights: [[0.5, 0.5]] }));
  expect(tokenWeights).toEqual([[0, 0.5]]);
});

test('cut-rationales: only what the cap cut, and only what was judged', async () => {
  const hooks = createHooks([{ name: 'mine', extension: await make('cut-rationales', { penalty: 0.25 }) }]);
  const samples = [sample('0'), sample('1', { rationaleEnded: false }), sample('2', { rationaleEnded: false })];
  const judged = { total: 1, scores: { one: { value: 1 } } };
  const judgements = [judged, judged, { total: 0, scores: {}, unjudged: true as const }];
  const { judgements: after } = await hooks.rewards({ step: 1, groupSize: 3, samples, judgements });
  expect(after.map(({ total }) => total)).toEqual([1, 0.75, 0]);
});

test('prompt-templates: by step and place, prompts as they are, and a template without its prompt is refused', async () => {
  const extension = await make('prompt-templates', { templates: ['{prompt}', 'draw {prompt}, please'] });
  const hooks = createHooks([{ name: 'mine', extension }]);
  const items = ['a $& b', 'c'].map((prompt) => ({ prompt, task: 't', specification: 7 }));
  const worded = async (step: number): Promise<string[]> =>
    (await hooks.batch({ step, items })).items.map(({ prompt }) => prompt);
  expect(await worded(2)).toEqual(['a $& b', 'draw c, please']);
  expect(await worded(3)).toEqual(['draw a $& b, please', 'c']);
  await expect(make('prompt-templates', { templates: ['draw'] })).rejects.toThrow(/write \{prompt\}/);
});

test('saved samples: those of a due step, refills included, as later extensions left them; each step by itself', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'reasongen-samples-'));
  const doubling: Extension = {
    advantages: {
      order: 'late',
      handler: (event) => ({ ...event, advantages: event.advantages.map((each) => 2 * each) }),
    },
  };
  const saving = savedSamples({ samplesEvery: 2, samplesShown: 3 }, 5);
  const hooks = createHooks([
    { name: 'mine', extension: doubling },
    { name: 'samples', extension: saving },
  ]);
  await hooks.start({ preset: 'p', directory, resume: false });
  const tokens = [drawn([1], [1]), drawn([1], [1])];
  for (const step of [1, 2, 3]) {
    // Two rounds: a refill.
    for (let round = 0; round < 2; round++) {
      await hooks.rollout({ ...advantagesOf(tokens), step });
      hooks.advantages({ ...advantagesOf(tokens), step });
    }
    await hooks.step({ step, metrics: {} });
  }
  const lines = readFileSync(join(directory, 'samples/step-000002/samples.jsonl'), 'utf8').trim().split('\n');
  const records = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(records.map(({ prompt }) => prompt)).toEqual(['prompt 0', 'prompt 1', 'prompt 0']);
  expect(records[0]).toMatchObject({
    advantage: 2,
    total: 1,
    seed: 5,
    image: '000.png',
    scores: { one: { value: 1 } },
  });
  expect(() => readFileSync(join(directory, 'samples/step-000003/samples.jsonl'))).toThrow(/ENOENT/);
  rmSync(directory, { recursive: true });
});
