/** What the evaluations of a run say, in numbers and in one sentence. Everything here is arithmetic on records. */
import type { Estimate, Evaluation, EvaluationSample, PassCount } from '../contracts/evaluation.ts';
import { groupBy } from '../evaluation/group-by.ts';
import {
  changeOf,
  pairDrawings,
  pairedDifference,
  type Change,
  type PairedDifference,
  type ScorePair,
} from '../evaluation/paired.ts';
import { wilson, type Interval } from '../evaluation/intervals.ts';

export interface Rate extends Interval, PassCount {}

/** A row of the table: a task, a sub-score, or all of them. */
export interface TaskRow {
  readonly task: string;
  readonly before: Rate | undefined;
  readonly after: Rate;
  /** Picture by picture, where both evaluations tell of every picture. */
  readonly paired: PairedDifference | undefined;
  /** Undefined without a `before`. */
  readonly change: Change | undefined;
}

/** The first and the last evaluation of one benchmark and split that were drawn alike. */
export interface Comparison {
  readonly benchmark: string;
  readonly split: string;
  readonly before: Evaluation | undefined;
  readonly after: Evaluation;
  readonly overall: TaskRow;
  readonly tasks: readonly TaskRow[];
  /** All of this benchmark and split, by step, for the curve. */
  readonly all: readonly Evaluation[];
}

/** Held-out prompts first; benchmarks in the order of their first record. */
export function compare(evaluations: readonly Evaluation[]): Comparison[] {
  const groups = groupBy(evaluations, ({ benchmark, split }) => JSON.stringify([benchmark, split]));
  const comparisons = [...groups.values()].map((group) => compareGroup(group));
  const rank = (split: string): number => ['heldout', 'seen', 'pool'].indexOf(split);
  return comparisons.sort((a, b) => rank(a.split) - rank(b.split));
}

function compareGroup(all: readonly Evaluation[]): Comparison {
  const after = all.at(-1);
  if (after === undefined) throw new RangeError('compareGroup: no evaluation');
  return compareTwo(
    all.find((each) => each !== after && isDrawnAlike(each, after)),
    after,
    all,
  );
}

/** Whatever they are of: `all` is what the curve shows. */
export function compareTwo(
  before: Evaluation | undefined,
  after: Evaluation,
  all: readonly Evaluation[] = [],
): Comparison {
  const pairs = pairDrawings(before?.verdicts ?? [], after.verdicts ?? []);
  const row = (task: string, last: Rate, first: Rate | undefined, own: readonly ScorePair[]): TaskRow => {
    const paired = first === undefined || own.length === 0 ? undefined : pairedDifference(own, after.seed);
    const change = paired === undefined ? first && unpairedChange(first, last) : changeOf(paired);
    return { task, before: first, after: last, paired, change };
  };
  return {
    benchmark: after.benchmark,
    split: after.split,
    before,
    after,
    overall: row('all tasks', headlineRate(after), before && headlineRate(before), pairs),
    tasks: rowNames(after).map((name) =>
      row(
        name,
        taskRate(after, name) ?? rateOf({ passes: 0, total: 0 }),
        before && taskRate(before, name),
        pairs.filter(({ task }) => task === name),
      ),
    ),
    all,
  };
}

/** Tasks, then what the benchmark scores besides. */
function rowNames({ tasks, subScores = {} }: Evaluation): string[] {
  return [...new Set([...Object.keys(tasks), ...Object.keys(subScores)])];
}

/** The benchmark's own headline where its record has one, as a share of the best; else the pass rate. */
export function headlineRate({ headline, overall, outOf = 1 }: Evaluation): Rate {
  return headline === undefined ? rateOf(overall) : { ...overall, ...shareOf(headline, outOf) };
}

function taskRate({ tasks, subScores, outOf = 1 }: Evaluation, name: string): Rate | undefined {
  const [count, estimate] = [tasks[name], subScores?.[name]];
  if (estimate !== undefined) return { ...(count ?? { passes: 0, total: 0 }), ...shareOf(estimate, outOf) };
  return count === undefined ? undefined : rateOf(count);
}

function shareOf({ value, low, high }: Estimate, outOf: number): Interval {
  return { rate: value / outOf, low: low / outOf, high: high / outOf };
}

function rateOf({ passes, total }: PassCount): Rate {
  return { passes, total, ...wilson(passes, total) };
}

/** Of two evaluations that do not tell picture by picture: clear where the intervals do not overlap. */
function unpairedChange(before: Interval, after: Interval): Change {
  if (after.low > before.high) return 'rose';
  return after.high < before.low ? 'fell' : 'unclear';
}

/** Same prompts and same way of drawing: nothing but the weights differs. */
function isDrawnAlike(a: Evaluation, b: Evaluation): boolean {
  const settings = ({ seed, count, samplesPerPrompt = 1, sampling }: Evaluation): string => {
    return JSON.stringify([
      seed,
      count,
      samplesPerPrompt,
      Object.entries(sampling).sort(([left], [right]) => (left < right ? -1 : 1)),
    ]);
  };
  return settings(a) === settings(b);
}

/** Which prompts these are, among all that are shown: the benchmark is named where there are several. */
export function promptsName({ benchmark, split }: Comparison, all: readonly Comparison[]): string {
  return all.some((each) => each.benchmark !== benchmark) ? `${benchmark}, ${splitName(split)}` : splitName(split);
}

/** The same at the beginning of a line: a name stays as it is written. */
function promptsTitle(comparison: Comparison, all: readonly Comparison[]): string {
  const name = promptsName(comparison, all);
  return name === splitName(comparison.split) ? capital(name) : name;
}

/**
 * The result in words, as far as the records carry it. Where pictures can be paired, the paired interval says what is clear of noise.
 * `all` are those that are shown with it.
 */
export function sentenceOf(comparison: Comparison, all: readonly Comparison[] = []): string {
  const { overall, after: evaluation } = comparison;
  const { before, after, change, paired } = overall;
  const what = `${promptsTitle(comparison, all)} ${scoreName(evaluation)}`;
  if (before === undefined) return `${what} ${formatRate(after)}`;
  const rates = `${formatRate(before)}\u00a0→ ${formatRate(after)}`;
  const numbers = paired === undefined ? rates : `${rates}, paired difference ${formatDifference(paired)}`;
  return change === 'unclear' ? `${what} ${numbers}: no change clear of noise` : `${what} ${change}: ${numbers}`;
}

/** `pass rate`, or the headline of a benchmark that has one of its own: `GenEval (RT-DETRv2) overall`. */
export function scoreName({ title, headline }: Evaluation): string {
  const name = headline?.name ?? 'pass rate';
  return title === undefined ? name : `${title} ${name}`;
}

/** `+.15 [+.08, +.22]`, with spaces that do not break. */
export function formatDifference({ difference, low, high }: PairedDifference): string {
  return `${formatSigned(difference)}\u00a0[${formatSigned(low)},\u00a0${formatSigned(high)}]`;
}

export function formatSigned(share: number): string {
  const sign = Math.abs(share) < 0.005 ? '±' : share < 0 ? '−' : '+';
  return `${sign}${formatShare(Math.abs(share))}`;
}

export function splitName(split: string): string {
  if (split === 'heldout') return 'held-out';
  if (split === 'pool') return 'training prompts';
  return split;
}

/** `.63 [.57, .69]`, with spaces that do not break. */
export function formatRate({ rate, low, high }: Interval): string {
  return `${formatShare(rate)}\u00a0[${formatShare(low)},\u00a0${formatShare(high)}]`;
}

/** A p-value: `.017`, `< .001`. */
export function formatChance(chance: number): string {
  return chance < 0.001 ? '< .001' : chance.toFixed(3).replace(/^0\./, '.');
}

/** Two digits and no leading zero: `.63`, `1.00`. */
export function formatShare(share: number): string {
  return share.toFixed(2).replace(/^0\./, '.');
}

export interface SamplePair {
  readonly before: EvaluationSample | undefined;
  readonly after: EvaluationSample;
}

/** Drawings of the same prompt side by side; a prompt that occurs twice is matched in order. */
export function pairSamples({ before, after }: Comparison): SamplePair[] {
  const waiting = groupBy(before?.samples ?? [], ({ prompt }) => prompt);
  return after.samples.map((sample) => ({ before: waiting.get(sample.prompt)?.shift(), after: sample }));
}

/** The first pairs of every task in turn, at most `count`: nothing is picked by its result. */
export function choosePairs(pairs: readonly SamplePair[], count: number): SamplePair[] {
  const byTask = [...groupBy(pairs, ({ after }) => after.task).values()];
  const chosen: SamplePair[] = [];
  for (let round = 0; chosen.length < Math.min(count, pairs.length); round++) {
    for (const group of byTask) {
      const pair = group[round];
      if (pair !== undefined && chosen.length < count) chosen.push(pair);
    }
  }
  return chosen.sort((a, b) => pairs.indexOf(a) - pairs.indexOf(b));
}

export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
