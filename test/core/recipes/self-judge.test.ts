/** The run's own model as judge and reward of a run, planned and measured. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { silentLog } from '../../../core/log.ts';
import { planStage } from '../../../core/plan-stage.ts';
import { loadPreset } from '../../../core/preset/load.ts';
import { janusFolder } from '../../support/janus-folder.ts';
import { readRunRecords } from '../../../core/io/records.ts';
import type { Evaluation } from '../../../core/contracts/evaluation.ts';
import { memoryOf, publishedPreset, ratioPlugin } from '../../support/published-runs.ts';
import { curve, type Ended, Workplace } from '../../support/runs.ts';

const place = new Workplace();

const eyes = 'questionTokens: 1024, batch: 4';
function grpo(name: string, folder: string, plugin: string, more: string): string {
  return publishedPreset(
    place,
    name,
    folder,
    `plugins: [${plugin}]
judges: [{ use: self-judge, name: start, ${eyes}, answerTokens: 0 }, { use: self-judge, name: policy, model: policy, ${eyes}, answerTokens: 0 }]
rewards: [{ use: ratio, name: frozen, judge: start }, { use: ratio, name: moving, judge: policy, heldOut: true }]
optimizer: { use: adamw, learningRate: 1e-2 }
recipe: { use: grpo, weights: ${folder}, steps: 3, prompts: 2, groupSize: 4, rationaleTokens: 8, promptTokens: 64, evaluations: 0${more} }`,
  );
}

async function evaluationsOf({ directory }: Ended): Promise<readonly Evaluation[]> {
  return (await readRunRecords(directory)).evaluations;
}

describe('a run judged by its own model', () => {
  test.each([
    ['all weights', ''],
    ['adapters', ', lora: { rank: 2 }'],
  ])('trains on its frozen start, holds its policy out, and its memory is planned (%s)', async (_name, more) => {
    const folder = janusFolder(place.path(`grpo-${more === ''}`), 'tiny-b');
    const file = grpo(`grpo-${more === ''}`, folder, ratioPlugin(place), more);
    const run = await place.run(file);
    const [frozen, moving] = [curve(run.directory, 'reward/frozen'), curve(run.directory, 'reward/moving')];
    // Before the first update both are the same weights, and so see the same.
    expect(frozen).toHaveLength(3);
    expect(moving[0]).toBe(frozen[0]);
    expect(moving[2]).not.toBe(frozen[2]);
    const { plannedBytes, peakBytes } = memoryOf(run);
    // Within what plans of other runs are held to: read-back is made when it is wanted.
    expect(plannedBytes / peakBytes).toBeGreaterThan(0.95);
    expect(plannedBytes / peakBytes).toBeLessThan(1.1);
    const loaded = await loadPreset(file);
    const plan = await planStage(loaded, loaded.stages[0]!, silentLog());
    expect(plan.bytes['judges']).toBeGreaterThan(0);
  });
});

describe('questions of benchmarks', () => {
  test('DPG and GenEval 2 are answered by another checkpoint, whose answers are kept', async () => {
    const folder = janusFolder(place.path('model'), 'tiny-b');
    const header =
      'item_id,text,keywords,proposition_id,dependency,category_broad,category_detailed,tuple,question_natural_language';
    const row = (id: string, number: number, parents: string): string =>
      `${id},a dog,,${number},"${parents}",entity,whole,"entity - whole (dog)",Is there ${number} dog?`;
    const dpg = place.write('dpg.csv', [header, row('x', 1, '0'), row('a', 1, '0'), row('a', 2, '1')].join('\n'));
    const geneval2 = place.write(
      'geneval2.jsonl',
      '{"prompt": "a dog", "vqa_list": [["What is it?", "dog"], ["How many?", "two"]], "skills": ["object", "count"]}\n',
    );
    const cache = place.path('kept');
    const run = (): Promise<Ended> =>
      place.run(
        publishedPreset(
          place,
          'evaluate',
          folder,
          `judges: [{ use: self-judge, model: ${janusFolder(place.path('other'), 'tiny-b')}, ${eyes}, answerTokens: 3, cache: ${cache} }]
benchmarks: [{ use: dpg, questions: ${dpg} }, { use: geneval2, prompts: ${geneval2} }]
recipe: { use: evaluate, weights: ${folder}, rationale: false, promptTokens: 64, batch: 4 }`,
        ),
      );
    const first = await evaluationsOf(await run());
    expect(first.map(({ benchmark }) => benchmark)).toEqual(['dpg', 'geneval2']);
    for (const { judges, counts } of first) {
      expect(counts).toMatchObject({ missing: 0, judgeErrors: 0 });
      expect(judges).toMatchObject([
        { title: 'other', fingerprint: { weights: expect.stringMatching(/^[0-9a-f]{64}$/) } },
      ]);
    }
    const lines = (): number =>
      readdirSync(cache).reduce((sum, name) => sum + readFileSync(join(cache, name), 'utf8').split('\n').length, 0);
    const before = lines();
    expect((await evaluationsOf(await run())).map(({ headline }) => headline)).toEqual(
      first.map(({ headline }) => headline),
    );
    expect(lines()).toBe(before);
  });
});
