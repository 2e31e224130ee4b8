/** What the evaluations of a run say, in numbers and in one sentence. Everything here is arithmetic on records. */
import type { Evaluation, EvaluationSample, PassCount } from '../contracts/evaluation.ts';
import { groupBy } from '../evaluation/group-by.ts';
import type { Change } from '../evaluation/paired.ts';
import { wilson, type Interval } from '../evaluation/intervals.ts';

export interface Rate extends Interval, PassCount {}

/** A row of the table: a task, or all of them. */
export interface TaskRow {
  readonly task: string;
  readonly before: Rate | undefined;
  readonly after: Rate;
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
  const before = all.find((each) => each !== after && isDrawnAlike(each, after));
  const names = Object.keys(after.tasks);
  const row = (task: string, last: PassCount, first: PassCount | undefined): TaskRow => {
    const rates = { before: first === undefined ? undefined : rateOf(first), after: rateOf(last) };
    return {
      task,
      ...rates,
      change: rates.before === undefined ? undefined : unpairedChange(rates.before, rates.after),
    };
  };
  return {
    benchmark: after.benchmark,
    split: after.split,
    before,
    after,
    overall: row('all tasks', after.overall, before?.overall),
    tasks: names.map((name) => row(name, after.tasks[name] ?? { passes: 0, total: 0 }, before?.tasks[name])),
    all,
  };
}

export function rateOf({ passes, total }: PassCount): Rate {
  return { passes, total, ...wilson(passes, total) };
}

/** Of two evaluations that do not tell picture by picture: clear where the intervals do not overlap. */
function unpairedChange(before: Interval, after: Interval): Change {
  if (after.low > before.high) return 'rose';
  return after.high < before.low ? 'fell' : 'unclear';
}

/** Same prompts and same way of drawing: nothing but the weights differs. */
function isDrawnAlike(a: Evaluation, b: Evaluation): boolean {
  const settings = ({ seed, count, sampling }: Evaluation): string => {
    return JSON.stringify([seed, count, Object.entries(sampling).sort(([left], [right]) => (left < right ? -1 : 1))]);
  };
  return settings(a) === settings(b);
}

/** The result in words, as far as the records carry it. */
export function sentenceOf(comparison: Comparison): string {
  const { overall, split } = comparison;
  const { before, after, change } = overall;
  const what = `${capital(splitName(split))} pass rate`;
  if (before === undefined) return `${what} ${formatRate(after)}`;
  const numbers = `${formatRate(before)}\u00a0→ ${formatRate(after)}`;
  return change === 'unclear' ? `${what} ${numbers}: no change clear of noise` : `${what} ${change}: ${numbers}`;
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
