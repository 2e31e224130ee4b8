/**
 * Evaluation: the prompts of benchmarks drawn, judged, counted. Used before, during and after training and as a recipe of its own.
 * Prompts, row keys and random numbers follow from the seed: the same evaluation twice gives the same record.
 */
import type { NamedBenchmark, Plan, PlanContext, Recipe, RunContext } from '../contracts/recipe.ts';
import type { PromptItem, Split } from '../contracts/dataset.ts';
import type { Benchmark } from '../contracts/benchmark.ts';
import type { Evaluation } from '../contracts/evaluation.ts';
import { PresetError, shellWord } from '../errors.ts';
import { withFields } from '../components.ts';
import { bestOfOptions, bestOfRecord, choosingOf } from '../drawing/best-of.ts';
import { defineRecipe, z } from '../plugin.ts';
import { Drawer, samplingOf, samplingOptions, type DrawerOptions, type Sampling } from '../drawing/drawer.ts';
import { underWay } from '../drawing/under-way.ts';
import { drawnPictures } from '../evaluation/drawn-pictures.ts';
import { shownPictures } from '../evaluation/shown-pictures.ts';
import { refuseSharedNames } from '../evaluation/layouts.ts';
import { pictureOf, type PictureSource } from '../evaluation/pictures.ts';
import { recordEvaluation, type EvaluationPlan } from '../evaluation/record.ts';
import { fileNamePart } from '../io/run-directory.ts';
import { looksWithModel, reserveJudges } from '../judging/reserve.ts';
import { openModel } from '../models/open-model.ts';
import { gatherPacked } from '../ranks/packed.ts';
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

/**
 * Draws and judges every prompt of one benchmark once, writes the record and returns it; nothing when a stop was requested before its end. Called on
 * every rank: each draws its share, the first one judges and records, and the others get nothing.
 */
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
  named: NamedBenchmark,
  sampling: Sampling,
  plan: Omit<EvaluationRequest, 'split' | 'count'> & { readonly split: string },
  items: readonly PromptItem[],
): Promise<Evaluation | undefined> {
  const asked = { ...plan, items, samplesPerPrompt: 1 };
  if (named.benchmark.picture !== undefined) return askItems(context, named, named.benchmark.picture, asked);
  const whole = { ...asked, sampling: { ...samplingOf(sampling) } };
  return recordByFirst(context, named, whole, drawnInMemory(context, drawer, named.name, whole));
}

/** What is found of pictures is said by the first rank: judges hold models, and what looks at all pictures needs all. The others go along with the source. */
async function recordByFirst(
  context: RunContext,
  named: NamedBenchmark,
  plan: EvaluationPlan,
  source: PictureSource,
): Promise<Evaluation | undefined> {
  if (context.communicator.rank === 0) return recordEvaluation(context, named, plan, source);
  const pictures = source[Symbol.asyncIterator]();
  while ((await pictures.next()).done !== true);
  return undefined;
}

/** A pass over a benchmark that asks about pictures that are there: nothing is drawn, and no sampling is its own. */
function askItems(
  context: RunContext,
  named: NamedBenchmark,
  picture: NonNullable<Benchmark['picture']>,
  plan: Omit<EvaluationPlan, 'sampling'>,
): Promise<Evaluation | undefined> {
  const source = shownPictures(context, plan.items, picture, plan);
  return recordByFirst(context, named, { ...plan, sampling: {} }, source);
}

/**
 * A drawing of every prompt, held in memory until it is judged. Ends early when a stop is requested. In each round every rank draws a share, as many
 * prompts as are drawn at once, and gets those of all: what is drawn together does not depend on how many ranks there are.
 */
async function* drawnInMemory(
  { log, stop, communicator }: RunContext,
  drawer: Drawer,
  name: string,
  { items, seed, label, step, split }: EvaluationPlan,
): PictureSource {
  drawer.refuseTooLong(items);
  const progress = log.progress(`evaluating ${label}, ${name} (${split})`, items.length, { unit: 'prompt' });
  const perRound = drawer.prompts * communicator.size;
  const rounds = function* (): Generator<number> {
    for (let first = 0; first < items.length && !stop.requested; first += perRound) yield first;
  };
  const draw = async (first: number) => {
    const start = first + communicator.rank * drawer.prompts;
    const part = items.slice(start, start + drawer.prompts);
    const drawings = await drawer.draw(part, seed, { label, step, phase: 'evaluation' }, start);
    return { start, samples: drawings.map(({ sample }) => sample) };
  };
  try {
    for await (const own of underWay(rounds(), drawer.sharesAhead, draw)) {
      const shares = await gatherPacked(communicator, own);
      await stop.agree();
      // One after the other, as a single process draws them: a reward may look at a share as a whole.
      for (const { start, samples } of shares) {
        if (samples.length > 0) yield samples.map((sample, index) => pictureOf(sample, start + index, 0));
        progress.advance(samples.length);
      }
    }
  } finally {
    progress.end();
  }
}

const options = z.strictObject({
  weights: weightsInput().describe('run folder, checkpoint, published model or file of weights to evaluate'),
  label: z.string().default('evaluation').describe('names the record and its rows in the report'),
  splits: z
    .array(z.enum(['seen', 'heldout']))
    .min(1)
    .default(['heldout', 'seen'])
    .describe('which prompts'),
  count: z
    .number()
    .int()
    .positive()
    .optional()
    .describe('prompts per split; absent: all of a benchmark whose list is fixed, else 600'),
  samplesPerPrompt: z
    .number()
    .int()
    .positive()
    .optional()
    .describe('pictures of each prompt; absent: as many as the benchmark asks for, else 1'),
  judge: z.boolean().default(true).describe('false: only draws, into the folders that the original scorers read'),
  evaluationSeed: z.number().int().nonnegative().default(1000).describe('seed of prompts and pictures'),
  batch: z.number().int().positive().default(120).describe('pictures drawn at once'),
  promptTokens: z.number().int().positive().default(24).describe('longest prompt in tokens, special tokens included'),
  pictures: z.number().int().nonnegative().default(24).describe('samples kept with their pictures in the record'),
  ...storageOption,
  ...samplingOptions,
  ...bestOfOptions,
});

type EvaluateOptions = z.output<typeof options>;

export const evaluateRecipe = defineRecipe({
  name: 'evaluate',
  summary: 'draws the prompts of every benchmark, judges the pictures and reports scores with intervals',
  options,
  needs: ['tokenizer', 'imageTokenizer', 'backbone', 'benchmark'],
  create: (choice): Recipe => ({
    plan: (context) => planEvaluation(context, choice),
    smaller: smallerDrawing(choice, planEvaluation),
    run: (context) => runEvaluation(context, choice),
  }),
});

/** What is asked for where neither preset nor benchmark says. */
const defaultCount = 600;

function planEvaluation(context: PlanContext, choice: EvaluateOptions): Promise<Plan> {
  const lines = context.benchmarks.map((named) => {
    const { name, benchmark } = named;
    const copies = copiesOf(benchmark, choice);
    const splits = splitsOf(named, choice.splits);
    if (benchmark.picture === undefined)
      for (const split of splits)
        refuseSharedNames(named, benchmark.prompts(split, countOf(benchmark, choice), choice.evaluationSeed), copies);
    const prompts = `${splits.length} split(s) x ${countOf(benchmark, choice)} prompts`;
    return `${name}: ${prompts}${copies === 1 ? '' : ` x ${copies} pictures`}, ${choice.batch} pictures at once`;
  });
  return planDrawing(context, { ...choice, ...drawerOptions(context, context.benchmarks, choice), lines });
}

function countOf({ size }: Benchmark, { count }: EvaluateOptions): number {
  return Math.min(count ?? size ?? defaultCount, size ?? Number.POSITIVE_INFINITY);
}

function copiesOf({ samplesPerPrompt, layout }: Benchmark, choice: EvaluateOptions): number {
  const { grid } = layout ?? {};
  return grid === undefined ? (choice.samplesPerPrompt ?? samplesPerPrompt ?? 1) : grid.rows * grid.columns;
}

/** Room for the benchmark with the most pictures a prompt. */
function drawerOptions(
  context: PlanContext | RunContext,
  benchmarks: readonly NamedBenchmark[],
  choice: EvaluateOptions,
): DrawerOptions & { readonly samplesPerPrompt: number } {
  const samplesPerPrompt = Math.max(1, ...benchmarks.map(({ benchmark }) => copiesOf(benchmark, choice)));
  const prompts = Math.max(1, Math.floor(choice.batch / (samplesPerPrompt * choice.bestOf)));
  return {
    sampling: choice,
    prompts,
    samplesPerPrompt,
    promptTokens: choice.promptTokens,
    choosing: choosingOf(context, choice),
  };
}

async function runEvaluation(context: RunContext, choice: EvaluateOptions): Promise<void> {
  // A judge that is missing is better known before hours of drawing than after.
  if (choice.judge) for (const { benchmark } of context.benchmarks) if ('judges' in benchmark) await benchmark.judges();
  const model = await openModel(context, choice, { text: choice.rationale || looksWithModel(context), image: true });
  const hashes = { weights: model.hash, codec: context.imageTokenizer.hash };
  try {
    await reserveJudges(context);
    for (const named of context.benchmarks) {
      const isAsked = named.benchmark.picture !== undefined;
      if (isAsked && !choice.judge) continue;
      const { parameters, workspace } = model;
      const drawer = isAsked
        ? undefined
        : await Drawer.open(context, parameters, workspace, drawerOptions(context, [named], choice));
      try {
        for (const split of splitsOf(named, choice.splits)) {
          if (context.stop.requested) break;
          const record = await evaluateSplit(context, drawer, named, split, choice, hashes);
          if (record !== undefined) tell(context, record);
        }
      } finally {
        drawer?.close();
      }
    }
  } finally {
    model.close();
  }
}

/** `drawer`: undefined for a benchmark that asks about pictures that are there. */
async function evaluateSplit(
  context: RunContext,
  drawer: Drawer | undefined,
  named: NamedBenchmark,
  split: Split,
  choice: EvaluateOptions,
  model: Readonly<Record<string, string>>,
): Promise<Evaluation | undefined> {
  const { name, benchmark } = named;
  const { label, evaluationSeed: seed, pictures, storage } = choice;
  const items = benchmark.prompts(split, countOf(benchmark, choice), seed);
  const asked = { label, step: 0, split, seed, items, pictures, model, isResumable: true };
  if (benchmark.picture !== undefined)
    return askItems(context, named, benchmark.picture, { ...asked, samplesPerPrompt: 1 });
  if (drawer === undefined) throw new RangeError(`${name} is drawn, and there is no drawer`);
  const samplesPerPrompt = copiesOf(benchmark, choice);
  const sampling = { ...samplingOf(choice), ...bestOfRecord(choice) };
  const departures = choice.bestOf === 1 ? [] : [`each picture is the best of ${choice.bestOf} by ${choice.chosenBy}`];
  const plan = { ...asked, samplesPerPrompt, sampling, departures };
  const folder = `pictures/${folderName(named, split)}`;
  const settings = { seed, samplesPerPrompt, storage, ...model, ...sampling };
  const source = drawnPictures(context, drawer, { named, plan, folder, settings });
  if (choice.judge) {
    // What chose does not score: it would praise its own choice.
    const scorers = context.rewards.filter((reward) => choice.bestOf === 1 || reward.name !== choice.chosenBy);
    return recordEvaluation(withFields(context, { rewards: scorers }), named, plan, source);
  }
  let drawn = 0;
  for await (const some of source) drawn += some.length;
  context.log.info(`${name}: ${drawn} pictures in ${folder}`);
  return undefined;
}

/** A benchmark with one split needs no word for it. */
function folderName({ name, benchmark }: NamedBenchmark, split: Split): string {
  return benchmark.splits?.length === 1 ? fileNamePart(name) : `${fileNamePart(name)}.${split}`;
}

function ownSplits({ splits, size }: Benchmark, wanted: readonly Split[]): Split[] {
  const own = wanted.filter((split) => splits?.includes(split) ?? true);
  // A fixed list of prompts is what it is, whatever a preset for others says.
  return own.length === 0 && size !== undefined && splits?.length === 1 ? [...splits] : own;
}

/** Those of the wanted splits that a benchmark has. Throws NO_PROMPTS when it has none of them. */
function splitsOf({ name, benchmark }: NamedBenchmark, wanted: readonly Split[]): Split[] {
  const own = ownSplits(benchmark, wanted);
  if (own.length > 0) return own;
  throw new PresetError({
    code: 'NO_PROMPTS',
    message: `benchmark "${name}" has no prompts for split ${wanted.join(', ')}`,
    hint: `set recipe.splits to what it has: ${benchmark.splits?.join(', ')}`,
  });
}

/** Says what an evaluation that is a run of its own has come to, and how those are asked about again whom no judge gave a verdict. */
export function tell({ log, benchmarks, directory }: RunContext, record: Evaluation): void {
  log.info(summarize(record, benchmarks.length));
  const failed = record.counts?.judgeErrors ?? 0;
  if (failed === 0) return;
  const again = `npx reasongen resume ${shellWord(directory.path)}`;
  log.warn(`${record.benchmark}: judges gave no verdict on ${failed} pictures; ${again} asks about these again`);
}

/**
 * One line a person can read: `before, heldout: 302 of 600 right (50.3 %): ...`, or the headline of a benchmark that has one of its own;
 * with the benchmark's name where there are several.
 */
export function summarize(record: Evaluation, benchmarks = 1): string {
  const { passes, total } = record.overall;
  const what = [record.label, ...(benchmarks > 1 ? [record.benchmark] : []), record.split].join(', ');
  if (record.title === undefined) {
    const tasks = Object.entries(record.tasks).map(([task, count]) => `${task} ${count.passes}/${count.total}`);
    return `${what}: ${passes} of ${total} right (${((100 * passes) / total).toFixed(1)} %): ${tasks.join(', ')}`;
  }
  return `${what}: ${headlineOf(record)}`;
}

/** `GenEval (RT-DETRv2): overall 0.712 [0.690, 0.735]`, without the judges' names where they are those of published scores. */
export function headlineOf({ title, benchmark, headline, counts }: Evaluation): string {
  if (headline === undefined) return title ?? benchmark;
  const { name, value, low, high } = headline;
  const failed = counts === undefined ? 0 : counts.missing + counts.unreadable + counts.judgeErrors;
  const lost = failed === 0 ? '' : `; ${failed} of ${counts?.images} pictures have no verdict and count as wrong`;
  return `${title ?? benchmark}: ${name} ${inDigits(value)} [${inDigits(low)}, ${inDigits(high)}]${lost}`;
}

function inDigits(value: number): string {
  return value.toFixed(Math.abs(value) > 1.5 ? 2 : 3);
}
