/** A pass over a benchmark: pictures judged, counted, and written down in the directory of the run. */
import { join } from 'node:path';
import type { JudgedPicture, JudgeUse } from '../contracts/benchmark.ts';
import type { PromptItem, Split } from '../contracts/dataset.ts';
import type { Evaluation, EvaluationSample, VerdictRecord } from '../contracts/evaluation.ts';
import type { NamedBenchmark, RunContext } from '../contracts/recipe.ts';
import { ReasongenError, exitCodes } from '../errors.ts';
import { frozenCopy } from '../frozen.ts';
import { encodePng } from '../io/image.ts';
import { evaluationName } from '../io/run-directory.ts';
import { rewardMetrics } from '../rl/reward-metrics.ts';
import { countsOf, estimateScores, standing } from './estimates.ts';
import { EvidenceLog } from './evidence-log.ts';
import { groupBy } from './group-by.ts';
import { judgePictures, rewardsFor, type PictureOutcome } from './judging.ts';
import type { PicturePlace, PictureSource } from './pictures.ts';

/** What names an evaluation and its prompts. */
export interface EvaluationPlan {
  /** `before`, `after`, `step-000100`: unique within a run for a benchmark and a split. */
  readonly label: string;
  readonly step: number;
  readonly split: string;
  readonly seed: number;
  readonly items: readonly PromptItem[];
  readonly samplesPerPrompt: number;
  /** Samples kept with their pictures, spread over the tasks. */
  readonly pictures: number;
  readonly sampling: Readonly<Record<string, unknown>>;
  /** What drew it: hashes by name. */
  readonly model?: Readonly<Record<string, string>>;
  /** In what these pictures depart from how published scores are made. */
  readonly departures?: readonly string[];
  /** Whether what judges say is written down at once, for a run that is killed. */
  readonly isResumable?: boolean;
}

/** Judges the pictures of the source and writes the record; nothing when a stop was requested before the last picture. */
export async function recordEvaluation(
  context: RunContext,
  named: NamedBenchmark,
  plan: EvaluationPlan,
  source: PictureSource,
  measured: Readonly<Record<string, number>> = {},
): Promise<Evaluation | undefined> {
  const { benchmark, name } = named;
  if (plan.items.length === 0) throw noPrompts(name, plan.split);
  const judges = 'judges' in benchmark ? await benchmark.judges() : [];
  const file = evaluationName({ ...plan, benchmark: name });
  const evidence =
    plan.isResumable === true && 'gather' in benchmark
      ? await EvidenceLog.open(join(context.directory.path, 'evidence', `${file}.jsonl`), [
          judges,
          benchmark.fingerprint ?? {},
          // Who answers is the model itself.
          ...(benchmark.picture === undefined ? [] : [plan.model ?? {}]),
        ])
      : undefined;
  const shown = shownPictures(plan);
  const outcomes = await judgePictures(context, named, source, {
    keeps: (place) => shown.has(keyOf(place)),
    ...(evidence !== undefined && { evidence }),
  });
  if (outcomes.length < plan.items.length * plan.samplesPerPrompt) return undefined;
  return writeDown(context, named, plan, { outcomes, judges, shown, measured });
}

interface Judged {
  readonly outcomes: readonly PictureOutcome[];
  readonly judges: readonly JudgeUse[];
  readonly shown: ReadonlySet<string>;
  readonly measured: Readonly<Record<string, number>>;
}

async function writeDown(
  context: RunContext,
  { name, benchmark }: NamedBenchmark,
  plan: EvaluationPlan,
  { outcomes, judges, shown, measured }: Judged,
): Promise<Evaluation> {
  const { label, step, split, seed, sampling, model, samplesPerPrompt } = plan;
  const pictures = outcomes.map(judgedPicture);
  const counts = countsOf(pictures);
  const tasks = passCounts(benchmark.tasks, pictures);
  const passes = pictures.filter(({ verdict }) => verdict.pass).length;
  const record: Evaluation = {
    label,
    benchmark: name,
    step,
    split,
    seed,
    count: counts.prompts,
    samplesPerPrompt,
    sampling,
    ...(model !== undefined && { model }),
    ...standing(benchmark, judges, counts, plan.departures ?? []),
    ...estimateScores(benchmark, pictures, seed),
    counts,
    ...(judges.length > 0 && { judges }),
    ...(benchmark.fingerprint !== undefined && { fingerprint: benchmark.fingerprint }),
    overall: { passes, total: pictures.length },
    tasks,
    extra: { ...extraNumbers(context, { name, benchmark }, outcomes), ...measured },
    samples: await shownSamples(outcomes, shown, seed),
    verdicts: outcomes.map(verdictRecord),
  };
  await context.directory.writeEvaluation(record);
  await tellHooks(context, record, outcomes);
  return record;
}

function judgedPicture({ index, copy, item, verdict, failure }: PictureOutcome): JudgedPicture {
  const score = verdict.score ?? Number(verdict.pass);
  return { ...item, index, copy, verdict: { ...verdict, score }, ...(failure !== undefined && { failure }) };
}

/** In the order of the benchmark's tasks; those without a picture are left out. */
function passCounts(names: readonly string[], pictures: readonly JudgedPicture[]): Evaluation['tasks'] {
  const byTask = groupBy(pictures, ({ task }) => task);
  const order = [
    ...names.filter((name) => byTask.has(name)),
    ...[...byTask.keys()].filter((task) => !names.includes(task)),
  ];
  return Object.fromEntries(
    order.map((task) => {
      const some = byTask.get(task) ?? [];
      return [task, { passes: some.filter(({ verdict }) => verdict.pass).length, total: some.length }];
    }),
  );
}

function extraNumbers(
  context: RunContext,
  { name, benchmark }: NamedBenchmark,
  outcomes: readonly PictureOutcome[],
): Record<string, number> {
  const samples = outcomes.flatMap(({ sample }) => sample ?? []);
  const isWhole =
    samples.length === outcomes.filter(({ failure }) => failure !== 'missing' && failure !== 'unreadable').length;
  if (benchmark.measure !== undefined && !isWhole)
    context.log.warn(
      `${name} measures all pictures together, and these take too much memory: its numbers are left out`,
    );
  const rewards = rewardsFor(benchmark, context.rewards);
  const judgements = outcomes.flatMap(({ judgement }) => judgement ?? []);
  return {
    ...meanParts(outcomes.map(({ verdict }) => verdict.parts ?? {})),
    ...(isWhole && samples.length > 0 && benchmark.measure?.(frozenCopy(samples))),
    ...(judgements.length > 0 && rewardMetrics(rewards, judgements)),
    ...(samples.length > 0 && {
      rationaleEnded: samples.filter(({ rationaleEnded }) => rationaleEnded).length / samples.length,
    }),
  };
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

function verdictRecord({
  index,
  copy,
  item,
  verdict,
  failure,
  file,
  sample,
  judgement,
}: PictureOutcome): VerdictRecord {
  const { pass, why, parts, atoms, unparsed } = verdict;
  return {
    index,
    copy,
    prompt: item.prompt,
    task: item.task,
    pass,
    score: verdict.score ?? Number(pass),
    why,
    ...(parts !== undefined && { parts }),
    ...(atoms !== undefined && { atoms }),
    ...(unparsed !== undefined && { unparsed }),
    ...(failure !== undefined && { failure }),
    ...(sample !== undefined && sample.rationale !== '' && { rationale: sample.rationale }),
    ...(file !== undefined && { picture: file }),
    ...(judgement !== undefined && { scores: judgement.scores }),
  };
}

async function shownSamples(
  outcomes: readonly PictureOutcome[],
  shown: ReadonlySet<string>,
  seed: number,
): Promise<EvaluationSample[]> {
  const samples: EvaluationSample[] = [];
  for (const outcome of outcomes) {
    const { sample, verdict, judgement } = outcome;
    if (sample === undefined || !shown.has(keyOf(outcome))) continue;
    const { prompt, task, rationale, image } = sample;
    const png = await encodePng(image, { prompt, rationale, seed: String(seed) });
    samples.push({
      prompt,
      task,
      rationale,
      image: Buffer.from(png).toString('base64'),
      pass: verdict.pass,
      why: verdict.why,
      scores: judgement?.scores ?? {},
    });
  }
  return samples;
}

async function tellHooks(
  { hooks }: RunContext,
  record: Evaluation,
  outcomes: readonly PictureOutcome[],
): Promise<void> {
  const seen = outcomes.flatMap(({ sample, verdict }) => (sample === undefined ? [] : [{ sample, verdict }]));
  const { headline, step, benchmark, overall } = record;
  await hooks.evaluation({
    step,
    benchmark,
    split: record.split === 'seen' ? 'seen' : ('heldout' satisfies Split),
    samples: seen.map(({ sample }) => sample),
    verdicts: seen.map(({ verdict }) => verdict),
    metrics: {
      pass: overall.passes / overall.total,
      ...(headline !== undefined && { headline: headline.value }),
      ...record.extra,
    },
  });
}

/** Up to `pictures` of them, the same number from every task as far as there are enough. */
function shownPictures({ items, samplesPerPrompt, pictures }: EvaluationPlan): Set<string> {
  const places = items.flatMap((item, index) =>
    Array.from({ length: samplesPerPrompt }, (_, copy) => ({ index, copy, item })),
  );
  // One picture of every prompt goes before a second of any.
  const byTask = [
    ...groupBy(
      places.toSorted((a, b) => a.copy - b.copy),
      ({ item }) => item.task,
    ).values(),
  ];
  const chosen = new Set<string>();
  for (let round = 0; chosen.size < Math.min(pictures, places.length); round++) {
    for (const some of byTask) {
      const place = some[round];
      if (place !== undefined && chosen.size < pictures) chosen.add(keyOf(place));
    }
  }
  return chosen;
}

function keyOf({ index, copy }: Pick<PicturePlace, 'index' | 'copy'>): string {
  return `${index}/${copy}`;
}

function noPrompts(name: string, split: string): ReasongenError {
  return new ReasongenError({
    code: 'NO_PROMPTS',
    message: `benchmark "${name}" has no prompts for split "${split}"`,
    hint: 'choose another split or a larger count',
    exitCode: exitCodes.badPreset,
  });
}
