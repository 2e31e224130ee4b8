/**
 * What the intervals of a whole benchmark cost: verdicts of every picture of GenEval (553 x 4) and DPG-Bench (1065 x 4, with 14,373
 * questions), by chance, resampled a thousand times as after an evaluation; then those of a comparison of two.
 *   node --import tsx test/bench/intervals.ts [runs]
 */
import type { Benchmark, JudgedPicture } from '../../core/contracts/benchmark.ts';
import { estimateScores } from '../../core/evaluation/estimates.ts';
import { pairedDifference } from '../../core/evaluation/paired.ts';
import { philox } from '../../core/tensor/philox.ts';
import { openComponent } from '../../core/testing/contract.ts';
import { DpgCategories, judgeTile, summarizeDpg } from '../../plugins/dpg/verdict.ts';
import geneval from '../../plugins/geneval/index.ts';

const runs = Number(process.argv[2] ?? 3);
const copies = 4;
const chance = (a: number, b: number, c = 0): number => philox([a, b, c, 0], [1, 2])[0] / 2 ** 32;

const [component] = geneval.provides.filter((each) => each.slot === 'benchmark');
if (component === undefined) throw new Error('the plugin has no benchmark');
const { made, dispose } = await openComponent(component);
const ofGeneval = made as Benchmark;
const prompts = ofGeneval.prompts('heldout', ofGeneval.size ?? 0, 0);
const genevalPictures = prompts.flatMap((item, index) =>
  Array.from({ length: copies }, (_, copy): JudgedPicture => {
    const pass = chance(index, copy) < 0.8;
    return { ...item, index, copy, verdict: { pass, score: Number(pass), why: '' } };
  }),
);

/** 13 or 14 questions a prompt, each behind the one before it where chance has it so. */
const dpgPrompts = Array.from({ length: 1065 }, (_, index) => ({
  id: String(index),
  text: '',
  questions: Array.from({ length: index < 528 ? 14 : 13 }, (_each, number) => ({
    id: String(number + 1),
    text: 'Is it there?',
    category: ['entity - whole', 'entity - part', 'attribute - color', 'relation - spatial', 'global', 'other - count'][
      number % 6
    ]!,
    parents: number > 0 && chance(index, number, 1) < 0.5 ? [String(number)] : [],
  })),
}));
const dpgPictures = dpgPrompts.flatMap((item, index) =>
  Array.from({ length: copies }, (_, copy): JudgedPicture => {
    const answers = Object.fromEntries(
      item.questions.map(({ id }) => [id, chance(index, copy, Number(id)) < 0.9 ? 'yes' : 'no']),
    );
    const verdict = judgeTile(item as never, answers, 'corrected');
    return {
      prompt: item.id,
      task: 'dpg',
      specification: null,
      index,
      copy,
      verdict: { ...verdict, score: verdict.score ?? 0 },
    };
  }),
);
const dpg = (): Benchmark => {
  const categories = new DpgCategories('corrected');
  return { ...ofGeneval, aggregate: (pictures) => summarizeDpg(pictures, 'corrected', categories) };
};

const pairsOf = (pictures: readonly JudgedPicture[]): Parameters<typeof pairedDifference>[0] =>
  pictures.map(({ index, copy, task, verdict }) => ({
    prompt: index,
    task,
    before: verdict.score,
    after: chance(index, copy, 7) < 0.1 ? 1 : verdict.score,
  }));

const work: readonly (readonly [
  name: string,
  run: () => { readonly low: number; readonly high: number } | undefined,
])[] = [
  ['GenEval, scores', () => estimateScores(ofGeneval, genevalPictures, 1).headline],
  ['DPG-Bench, scores', () => estimateScores(dpg(), dpgPictures, 1).headline],
  ['GenEval, compared', () => pairedDifference(pairsOf(genevalPictures))],
  ['DPG-Bench, compared', () => pairedDifference(pairsOf(dpgPictures))],
];
for (const [name, run] of work) {
  const seconds: number[] = [];
  let ends: ReturnType<typeof run>;
  for (let time = 0; time < runs; time++) {
    const start = performance.now();
    ends = run();
    seconds.push((performance.now() - start) / 1000);
  }
  if (ends === undefined || !(ends.low < ends.high)) throw new Error(`${name} has no interval`);
  console.log(
    `${name.padEnd(20)} ${Math.min(...seconds).toFixed(2)} s (the shortest of ${runs})   [${ends.low.toFixed(4)}, ${ends.high.toFixed(4)}]`,
  );
}
await dispose();
