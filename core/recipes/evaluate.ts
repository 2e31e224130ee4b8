/**
 * Evaluation: a benchmark's prompts drawn once each, judged, counted by task. Used before, during and after training and as
 * a recipe of its own. Prompts, row keys and random numbers follow from the seed: the same evaluation twice gives the same record.
 */
import type { NamedBenchmark, Plan, PlanContext, Recipe, RunContext } from '../contracts/recipe.ts';
import type { PromptItem, Split } from '../contracts/dataset.ts';
import type { Sample } from '../contracts/reward.ts';
import { PresetError, ReasongenError, exitCodes } from '../errors.ts';
import { encodePng } from '../io/image.ts';
import { defineRecipe, z } from '../plugin.ts';
import { rewardMetrics } from '../rl/reward-metrics.ts';
import { scoreSamples } from '../rl/score.ts';
import { checkedVerdicts } from '../rl/verdicts.ts';
import { frozenCopy } from '../frozen.ts';
import type { Evaluation, EvaluationSample } from '../contracts/evaluation.ts';
import {
  Drawer,
  samplingOf,
  samplingOptions,
  type DrawerOptions,
  type Drawing,
  type Sampling,
} from '../drawing/drawer.ts';
import { openModel } from '../models/open-model.ts';
import { planDrawing, smallerDrawing } from '../drawing/plan.ts';
import { storageOption, weightsInput } from '../models/weights.ts';

export interface EvaluationRequest {
  /** `before`, `after`, `step-000100`: names the record, unique within a run for a benchmark and a split. */
  readonly label: string;
  readonly step: number;
  readonly split: Split;
  readonly count: number;
  readonly seed: number;
  /** Samples kept with their pictures, spread over the tasks. */
  readonly pictures: number;
}

/** Draws and judges every prompt of one benchmark, writes the record and returns it; nothing when a stop was requested before its end. */
export async function evaluateBenchmark(
  context: RunContext,
  drawer: Drawer,
  { name, benchmark }: NamedBenchmark,
  sampling: Sampling,
  plan: EvaluationRequest,
): Promise<Evaluation | undefined> {
  const items = benchmark.prompts(plan.split, plan.count, plan.seed);
  return evaluateItems(context, drawer, { name, benchmark }, sampling, plan, items);
}

export async function evaluateItems(
  context: RunContext,
  drawer: Drawer,
  { name, benchmark }: NamedBenchmark,
  sampling: Sampling,
  plan: Omit<EvaluationRequest, 'split' | 'count'> & { readonly split: string },
  items: readonly PromptItem[],
): Promise<Evaluation | undefined> {
  if (items.length === 0) {
    throw new ReasongenError({
      code: 'NO_PROMPTS',
      message: `benchmark "${name}" has no prompts for split "${plan.split}"`,
      hint: 'choose another split or a larger count',
      exitCode: exitCodes.badPreset,
    });
  }
  const progress = context.log.progress(`evaluating ${plan.label} (${plan.split})`, items.length, { unit: 'prompt' });
  const drawings: Drawing[] = [];
  for (let start = 0; start < items.length && !context.stop.requested; start += drawer.prompts) {
    const part = items.slice(start, start + drawer.prompts);
    drawings.push(
      ...(await drawer.draw(part, plan.seed, { label: plan.label, step: plan.step, phase: 'evaluation' }, start)),
    );
    progress.advance(part.length);
  }
  progress.end();
  if (drawings.length < items.length) return undefined;
  return recordEvaluation(
    context,
    { name, benchmark },
    drawings.map(({ sample }) => sample),
    plan,
    { ...samplingOf(sampling) },
  );
}

/** Judges samples, however they were made, counts them by task, and writes the record. */
export async function recordEvaluation(
  context: RunContext,
  { name, benchmark }: NamedBenchmark,
  samples: readonly Sample[],
  plan: Omit<EvaluationRequest, 'split' | 'count'> & { readonly split: string },
  sampling: Readonly<Record<string, unknown>>,
  measured: Readonly<Record<string, number>> = {},
): Promise<Evaluation> {
  const verdicts = checkedVerdicts(name, samples, await benchmark.judge(frozenCopy(samples), context.signal));
  // A reward that knows its own prompts only would judge those of a benchmark by chance.
  const judges = context.rewards.filter(({ reward }) => reward.judgesBenchmarks === true);
  const judgements =
    judges.length === 0
      ? undefined
      : await scoreSamples(judges, samples, context.signal, (message) => context.log.warn(message));
  const tasks: Record<string, { passes: number; total: number }> = {};
  for (const task of benchmark.tasks) tasks[task] = { passes: 0, total: 0 };
  samples.forEach((sample, index) => {
    const count = (tasks[sample.task] ??= { passes: 0, total: 0 });
    count.total += 1;
    if (verdicts[index]?.pass) count.passes += 1;
  });
  for (const [task, { total }] of Object.entries(tasks)) if (total === 0) delete tasks[task];
  const passes = verdicts.filter(({ pass }) => pass).length;
  const extra: Record<string, number> = {
    ...meanParts(verdicts.map(({ parts }) => parts ?? {})),
    ...benchmark.measure?.(frozenCopy(samples)),
    ...(judgements === undefined ? {} : rewardMetrics(judges, judgements)),
    ...measured,
  };
  extra['rationaleEnded'] = samples.filter(({ rationaleEnded }) => rationaleEnded).length / samples.length;
  const shown = pickEvenly(
    samples.map(({ task }) => task),
    plan.pictures,
  );
  const kept = await Promise.all(
    shown.map(async (index): Promise<EvaluationSample> => {
      const sample = samples[index];
      const verdict = verdicts[index];
      if (sample === undefined || verdict === undefined) throw new RangeError(`no sample ${index}`);
      const { prompt, task, rationale, image } = sample;
      const png = Buffer.from(await encodePng(image, { prompt, rationale, seed: String(plan.seed) })).toString(
        'base64',
      );
      return {
        prompt,
        task,
        rationale,
        image: png,
        pass: verdict.pass,
        why: verdict.why,
        scores: judgements?.[index]?.scores ?? {},
      };
    }),
  );
  const record: Evaluation = {
    label: plan.label,
    benchmark: name,
    step: plan.step,
    split: plan.split,
    seed: plan.seed,
    count: samples.length,
    sampling,
    overall: { passes, total: samples.length },
    tasks,
    extra,
    samples: kept,
  };
  await context.directory.writeEvaluation(record);
  const split: Split = plan.split === 'seen' ? 'seen' : 'heldout';
  await context.hooks.evaluation({
    step: plan.step,
    benchmark: name,
    split,
    samples,
    verdicts,
    metrics: { pass: passes / samples.length, ...extra },
  });
  return record;
}

/** Means of every named part, over the samples that have it. */
function meanParts(parts: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sums = new Map<string, { sum: number; count: number }>();
  for (const each of parts) {
    for (const [name, value] of Object.entries(each)) {
      const entry = sums.get(name) ?? { sum: 0, count: 0 };
      sums.set(name, { sum: entry.sum + value, count: entry.count + 1 });
    }
  }
  return Object.fromEntries([...sums].map(([name, { sum, count }]) => [name, sum / count]));
}

/** Up to `count` indices, the same number from every task as far as there are enough. */
function pickEvenly(tasks: readonly string[], count: number): number[] {
  const byTask = new Map<string, number[]>();
  tasks.forEach((task, index) => byTask.set(task, [...(byTask.get(task) ?? []), index]));
  const chosen: number[] = [];
  for (let round = 0; chosen.length < Math.min(count, tasks.length); round++) {
    for (const indices of byTask.values()) {
      const index = indices[round];
      if (index !== undefined && chosen.length < count) chosen.push(index);
    }
  }
  return chosen.sort((a, b) => a - b);
}

const options = z.strictObject({
  weights: weightsInput().describe('run folder, checkpoint, published model or file of weights to evaluate'),
  label: z.string().default('evaluation').describe('names the record and its rows in the report'),
  splits: z
    .array(z.enum(['seen', 'heldout']))
    .min(1)
    .default(['heldout', 'seen'])
    .describe('which prompts'),
  count: z.number().int().positive().default(600).describe('prompts per split, one picture each'),
  evaluationSeed: z.number().int().nonnegative().default(1000).describe('seed of prompts and pictures'),
  batch: z.number().int().positive().default(120).describe('pictures drawn at once'),
  promptTokens: z.number().int().positive().default(24).describe('longest prompt in tokens, special tokens included'),
  pictures: z.number().int().nonnegative().default(24).describe('samples kept with their pictures in the record'),
  ...storageOption,
  ...samplingOptions,
});

type EvaluateOptions = z.output<typeof options>;

export const evaluateRecipe = defineRecipe({
  name: 'evaluate',
  summary: 'draws the prompts of every benchmark and reports pass rates by task with intervals',
  options,
  needs: ['tokenizer', 'imageTokenizer', 'backbone', 'benchmark'],
  create: (choice): Recipe => ({
    plan: (context) => planEvaluation(context, choice),
    smaller: smallerDrawing(choice, planEvaluation),
    run: (context) => runEvaluation(context, choice),
  }),
});

function planEvaluation(context: PlanContext, choice: EvaluateOptions): Promise<Plan> {
  const lines = [`${choice.splits.length} split(s) x ${choice.count} prompts, ${choice.batch} pictures at once`];
  return planDrawing(context, { ...drawerOptions(choice), ...choice, lines });
}

function drawerOptions(choice: EvaluateOptions): DrawerOptions {
  return { sampling: choice, prompts: choice.batch, samplesPerPrompt: 1, promptTokens: choice.promptTokens };
}

async function runEvaluation(context: RunContext, choice: EvaluateOptions): Promise<void> {
  const model = await openModel(context, choice, { text: choice.rationale, image: true });
  const drawer = await Drawer.open(context, model.parameters, model.workspace, drawerOptions(choice));
  for (const named of context.benchmarks) {
    for (const split of splitsOf(named, choice.splits)) {
      if (context.stop.requested) break;
      const record = await evaluateBenchmark(context, drawer, named, choice, {
        label: choice.label,
        step: 0,
        split,
        count: choice.count,
        seed: choice.evaluationSeed,
        pictures: choice.pictures,
      });
      if (record !== undefined) context.log.info(summarize(record, context.benchmarks.length));
    }
  }
  drawer.close();
  model.close();
}

/** Those of the wanted splits that a benchmark has. Throws NO_PROMPTS when it has none of them. */
function splitsOf({ name, benchmark }: NamedBenchmark, wanted: readonly Split[]): Split[] {
  const { splits } = benchmark;
  const own = wanted.filter((split) => splits?.includes(split) ?? true);
  if (own.length > 0) return own;
  throw new PresetError({
    code: 'NO_PROMPTS',
    message: `benchmark "${name}" has no prompts for split ${wanted.join(', ')}`,
    hint: `set recipe.splits to what it has: ${splits?.join(', ')}`,
  });
}

/** One line a person can read: `before, heldout: 302 of 600 right (50.3 %)`; with the benchmark's name where there are several. */
export function summarize(record: Evaluation, benchmarks = 1): string {
  const { passes, total } = record.overall;
  const tasks = Object.entries(record.tasks).map(([task, count]) => `${task} ${count.passes}/${count.total}`);
  const what = [record.label, ...(benchmarks > 1 ? [record.benchmark] : []), record.split].join(', ');
  return `${what}: ${passes} of ${total} right (${((100 * passes) / total).toFixed(1)} %): ${tasks.join(', ')}`;
}
