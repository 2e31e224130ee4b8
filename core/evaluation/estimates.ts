/** From verdicts to scores with intervals, and whether they may stand beside published ones. Pure arithmetic. */
import type { Benchmark, JudgedPicture, JudgeUse, Summary } from '../contracts/benchmark.ts';
import type { Estimate, Evaluation, EvaluationCounts } from '../contracts/evaluation.ts';
import { mean } from '../rl/statistics.ts';
import { bootstrapPrompts } from './bootstrap.ts';
import { groupBy } from './group-by.ts';
import { wilsonOfMean } from './intervals.ts';
import { fewestPrompts } from './paired.ts';

export type Scores = Pick<Evaluation, 'headline' | 'headlineOfJudged' | 'outOf' | 'subScores' | 'unavailable'>;

/**
 * The benchmark's summary with 95 % intervals: Wilson's where pictures just pass, one a prompt, and the benchmark counts them; prompts
 * resampled within their tasks otherwise, and where these are few or all alike no narrower than Wilson's. Pictures without a verdict count as wrong; `headlineOfJudged` leaves them out.
 */
export function estimateScores(benchmark: Benchmark, pictures: readonly JudgedPicture[], seed: number): Scores {
  const aggregate = benchmark.aggregate?.bind(benchmark) ?? meanScores;
  const summary = aggregate(pictures);
  const estimates = intervals(pictures, {
    isMean: benchmark.aggregate === undefined,
    outOf: summary.outOf ?? 1,
    aggregate,
    seed,
  });
  const estimateOf = (name: string, value: number): Estimate => ({ value, ...estimates(name, value) });
  const judged = pictures.filter(({ failure }) => failure === undefined);
  return {
    headline: { name: summary.headline.name, ...estimateOf('headline', summary.headline.value) },
    ...(judged.length < pictures.length && judged.length > 0 && { headlineOfJudged: aggregate(judged).headline.value }),
    subScores: Object.fromEntries(
      Object.entries(summary.scores).map(([name, value]) => [name, estimateOf(`score ${name}`, value)]),
    ),
    ...(summary.outOf !== undefined && { outOf: summary.outOf }),
    ...(summary.unavailable !== undefined && { unavailable: summary.unavailable }),
  };
}

/** The mean of all pictures and of those of every task. */
function meanScores(pictures: readonly JudgedPicture[]): Summary {
  const isPassFail = pictures.every(({ verdict }) => verdict.score === Number(verdict.pass));
  const tasks = groupBy(pictures, ({ task }) => task);
  return {
    headline: { name: isPassFail ? 'pass rate' : 'mean score', value: meanScore(pictures) },
    scores: Object.fromEntries([...tasks].map(([task, some]) => [task, meanScore(some)])),
  };
}

export function meanScore(pictures: readonly JudgedPicture[]): number {
  return mean(pictures.map(({ verdict }) => verdict.score));
}

type Ends = Pick<Estimate, 'low' | 'high'>;

interface Aggregation {
  /** The headline and the scores are the means of all pictures and of every task. */
  readonly isMean: boolean;
  /** The best score; the worst is 0. */
  readonly outOf: number;
  readonly aggregate: (pictures: readonly JudgedPicture[]) => Summary;
  readonly seed: number;
}

function intervals(
  pictures: readonly JudgedPicture[],
  { isMean, outOf, aggregate, seed }: Aggregation,
): (name: string, value: number) => Ends {
  const prompts = groupBy(pictures, ({ index }) => index);
  const isPassFail = outOf === 1 && pictures.every(({ verdict }) => verdict.score === 0 || verdict.score === 1);
  const tasks = groupBy([...prompts.values()], ([first]) => `score ${first?.task}`);
  /** How many prompts a score is of: those of a task, or all. */
  const countOf = (name: string): number => tasks.get(name)?.length ?? prompts.size;
  const wilsonEnds = (name: string, value: number): Ends => {
    if (value < 0 || value > outOf) return { low: value, high: value };
    const { low, high } = wilsonOfMean(value / outOf, countOf(name));
    return { low: low * outOf, high: high * outOf };
  };
  if (isMean && isPassFail && prompts.size === pictures.length) return wilsonEnds;
  const clusters = [...prompts.values()].map((items) => ({ stratum: items[0]?.task ?? '', items }));
  const ends = bootstrapPrompts(
    clusters,
    (drawn) => {
      // A prompt that is drawn twice is two prompts.
      const { headline, scores } = aggregate(
        drawn.flatMap(({ items }, index) => items.map((each) => ({ ...each, index }))),
      );
      const named = Object.entries(scores).map(([name, value]) => [`score ${name}`, value] as const);
      return Object.fromEntries([['headline', headline.value] as const, ...named]);
    },
    { seed },
  );
  return (name, value) => {
    const [low, high] = ends[name] ?? [value, value];
    if (low < high && countOf(name) >= fewestPrompts) return { low, high };
    // Few prompts, or prompts that are all alike, tell nothing of how far others may differ.
    const widest = wilsonEnds(name, value);
    return { low: Math.min(low, widest.low), high: Math.max(high, widest.high) };
  };
}

export function countsOf(pictures: readonly JudgedPicture[]): EvaluationCounts {
  const failed = (wanted: JudgedPicture['failure']): number =>
    pictures.filter(({ failure }) => failure === wanted).length;
  return {
    prompts: new Set(pictures.map(({ index }) => index)).size,
    images: pictures.length,
    missing: failed('missing'),
    unreadable: failed('unreadable'),
    judgeErrors: failed('judge'),
    unparsed: pictures.filter(({ verdict }) => verdict.unparsed === true).length,
  };
}

/** What a score is called, and whether it may stand beside published ones; nothing of a benchmark that nobody has published. */
export function standing(
  benchmark: Benchmark,
  judges: readonly JudgeUse[],
  counts: EvaluationCounts,
  departures: readonly string[],
): Pick<Evaluation, 'title' | 'comparable'> {
  const { published, size, samplesPerPrompt = 1 } = benchmark;
  if (published === undefined) return {};
  const others = judges.filter(({ isOfficial }) => !isOfficial);
  const titles = [...new Set(others.map(({ title }) => title))];
  const copies = counts.images / Math.max(1, counts.prompts);
  const failures = [
    [counts.missing, 'missing'],
    [counts.unreadable, 'unreadable'],
    [counts.judgeErrors, 'without a verdict'],
    [counts.unparsed, 'with an answer that could not be read'],
  ] as const;
  const because = [
    ...published.departures,
    ...departures,
    ...others.map(({ capability, title }) => `${capability} is by ${title}, not by the judge of the published scores`),
    ...(size !== undefined && counts.prompts < size ? [`${counts.prompts} of ${size} prompts`] : []),
    ...(copies === samplesPerPrompt
      ? []
      : [`${Number(copies.toFixed(2))} instead of ${samplesPerPrompt} pictures a prompt`]),
    ...failures.flatMap(([count, what]) => (count > 0 ? [`${count} of ${counts.images} pictures ${what}`] : [])),
  ];
  return {
    title: titles.length === 0 ? published.name : `${published.name} (${titles.join(' + ')})`,
    comparable: { yes: because.length === 0, because },
  };
}
