/** A published model as judge and reward of a run, wherever it is placed: the same verdicts, planned and measured; and as evidence of benchmarks. */
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { readRunRecords } from '../../../core/io/records.ts';
import { janusFolder } from '../../support/janus-folder.ts';
import { memoryOf, publishedPreset, ratioPlugin } from '../../support/published-runs.ts';
import { curve, Workplace } from '../../support/runs.ts';

const place = new Workplace();
const judge = fileURLToPath(new URL('../../golden/qwen-vl/qwen2.5-tiny-a', import.meta.url));

describe('a run judged by a published model', () => {
  const grpo = (name: string, folder: string, options: string): string =>
    publishedPreset(
      place,
      name,
      folder,
      `plugins: [${ratioPlugin(place)}]
judges: [{ use: vlm-judge, name: eye, model: ${judge}, batch: 4, questionTokens: 128, maxTokens: 0, cache: off, ${options} }]
rewards: [{ use: ratio, judge: eye }]
optimizer: { use: adamw, learningRate: 1e-2 }
recipe: { use: grpo, weights: ${folder}, steps: 2, prompts: 2, groupSize: 4, rationaleTokens: 8, promptTokens: 64, evaluations: 0 }`,
    );

  test('has the same rewards wherever it is, its memory is planned, and check says what each place takes', async () => {
    const folder = janusFolder(place.path('policy'), 'tiny-b');
    const curves: number[][] = [];
    const planned: Record<string, number> = {};
    for (const where of ['device', 'swap', 'process']) {
      const run = await place.run(grpo(`grpo-${where}`, folder, `place: ${where}`));
      curves.push(curve(run.directory, 'reward'));
      const { plannedBytes, peakBytes } = memoryOf(run);
      planned[where] = plannedBytes;
      // A process of its own has a device of its own: it is planned for, and not in this peak.
      if (where === 'process') continue;
      const share = { where, share: plannedBytes / peakBytes };
      expect(share.share, JSON.stringify([share, plannedBytes, peakBytes])).toBeGreaterThan(0.95);
      expect(share.share, JSON.stringify(share)).toBeLessThan(1.1);
    }
    expect(curves[0]).toHaveLength(2);
    expect(curves[1]).toEqual(curves[0]);
    expect(curves[2]).toEqual(curves[0]);
    expect(planned['swap']).toBeLessThan(planned['device'] ?? 0);
    expect(planned['process']).toBe(planned['device']);
    const { output } = await place.command('check', grpo('checked', folder, 'place: swap'));
    expect(output).toMatch(
      /place of judges\.eye: device [\d.]+ MiB, fits; swap [\d.]+ MiB \(chosen\), fits; process [\d.]+ MiB, fits/,
    );
    const { output: json } = await place.command('check', grpo('checked', folder, 'place: swap'), '--json');
    const [stage] = (JSON.parse(json) as { stages: { places: { totalBytes: Record<string, number> }[] }[] }).stages;
    expect(stage?.places[0]?.totalBytes).toMatchObject({ device: planned['device'], swap: planned['swap'] });
  });

  test('one that swaps says how its products are computed once, not whenever it comes back', async () => {
    const folder = janusFolder(place.path('policy-f16'), 'tiny-b');
    const run = await place.run(grpo('grpo-f16', folder, 'place: swap, precision: f16'));
    expect(curve(run.directory, 'reward')).toHaveLength(2);
    expect(run.lines.filter((line) => /products (in|asked for in) f16/.test(line))).toHaveLength(1);
  });
});

describe('evidence of benchmarks', () => {
  test('DPG, GenEval 2 and T2I-CompBench are answered by it', async () => {
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
    mkdirSync(place.path('comp'), { recursive: true });
    place.write('comp/color_val.txt', 'a red bird and a blue cup\n');
    const run = await place.run(
      publishedPreset(
        place,
        'evaluate',
        folder,
        `judges: [{ use: vlm-judge, model: ${judge}, batch: 4, questionTokens: 128, maxTokens: 3, cache: off }]
benchmarks: [{ use: dpg, questions: ${dpg} }, { use: geneval2, prompts: ${geneval2} }, { use: t2i-compbench, prompts: ${place.path('comp')}, samplesPerPrompt: 1 }]
recipe: { use: evaluate, weights: ${folder}, rationale: false, promptTokens: 64, batch: 4 }`,
      ),
    );
    const { evaluations } = await readRunRecords(run.directory);
    expect(evaluations.map(({ benchmark }) => benchmark)).toEqual(['dpg', 'geneval2', 't2i-compbench']);
    for (const { judges, counts } of evaluations) {
      expect(counts).toMatchObject({ missing: 0, judgeErrors: 0 });
      expect(judges).toMatchObject([
        { title: 'qwen2.5-tiny-a', fingerprint: { weights: expect.stringMatching(/^[0-9a-f]{64}$/) } },
      ]);
    }
  });
});
