/** Comparisons as data for pages: numbers and words are those of `compare`, by the same functions. */
import type { Evaluation, EvaluationSample, VerdictRecord } from '../contracts/evaluation.ts';
import { changeOf, type PairedDifference } from '../evaluation/paired.ts';
import type { ComparisonAnswer, PairAnswer, PictureAnswer, RateAnswer, RowAnswer } from '../page/answers.ts';
import { flipCount, keptOf, type Match } from './sides.ts';
import {
  formatChance,
  formatDifference,
  formatRate,
  formatSigned,
  headlineRate,
  promptsName,
  scoreName,
  sentenceOf,
  splitName,
  type Comparison,
  type Rate,
  type TaskRow,
} from './summary.ts';

export interface ShownPairs {
  readonly pairs: readonly PairAnswer[];
  /** How many there are. */
  readonly pairCount: number;
}

/** `all` are those that are shown with it. */
export function comparisonAnswer(
  { comparison, rewards, flips, differences }: Match,
  labels: readonly [string, string],
  { pairs, pairCount }: ShownPairs,
  all: readonly Comparison[] = [],
): ComparisonAnswer {
  const { before, after, benchmark, split, overall, tasks } = comparison;
  return {
    benchmark,
    split: splitName(split),
    prompts: promptsName(comparison, all),
    score: scoreName(after),
    sentence: sentenceOf(comparison, all),
    steps: stepsOf(comparison),
    labels,
    rows: [overall, ...tasks].map(rowOf),
    rewards: Object.entries(rewards).map(([name, paired]) => ({
      name,
      difference: formatDifference(paired),
      change: changeOf(paired),
    })),
    curve: comparison.all.map((each) => ({ label: each.label, step: each.step, ...rateOf(headlineRate(each)) })),
    extra: Object.entries(after.extra).map(([name, value]) => {
      const was = before !== undefined && Object.hasOwn(before.extra, name) ? before.extra[name] : undefined;
      return { name, after: value, ...(was !== undefined && { before: was }) };
    }),
    notes: [...notesOf(after), ...differences],
    warnings: warningsOf(after),
    flipped: { better: flipCount(flips, true), worse: flipCount(flips, false) },
    pairs,
    pairCount,
  };
}

function stepsOf({ before, after }: Comparison): string {
  if (before === undefined) return after.step > 0 ? `step ${after.step}` : '';
  return before.step === after.step ? '' : `step ${before.step} → ${after.step}`;
}

function rowOf({ task, before, after, change, paired }: TaskRow): RowAnswer {
  return {
    task: task.replaceAll('_', ' '),
    ...(before !== undefined && { before: rateOf(before) }),
    after: rateOf(after),
    ...(change !== undefined && { change }),
    ...(paired !== undefined
      ? pairedPart(paired)
      : before !== undefined && { difference: formatSigned(after.rate - before.rate) }),
  };
}

function pairedPart(paired: PairedDifference): Partial<RowAnswer> {
  const { rose, fell, mcnemar } = paired;
  return {
    difference: formatDifference(paired),
    rose,
    fell,
    ...(mcnemar !== undefined && { chance: formatChance(mcnemar) }),
  };
}

function rateOf(rate: Rate): RateAnswer {
  return { rate: rate.rate, low: rate.low, high: rate.high, total: rate.total, text: formatRate(rate) };
}

/** What a score of a published benchmark rests on, and what is missing. */
function notesOf({ title, comparable, unavailable = {} }: Evaluation): string[] {
  const standing =
    comparable?.yes === true
      ? `${title}: comparable with published scores`
      : `${title}: not comparable with published scores, because ${comparable?.because.join('; ')}`;
  return [
    ...(comparable === undefined ? [] : [standing]),
    ...Object.entries(unavailable).map(([name, why]) => `${name}: not available, ${why}`),
  ];
}

function warningsOf({ counts, headlineOfJudged }: Evaluation): string[] {
  if (counts === undefined) return [];
  const { missing, unreadable, judgeErrors, images } = counts;
  const lost = missing + unreadable + judgeErrors;
  if (lost === 0) return [];
  const judged = headlineOfJudged === undefined ? '' : `; without them the score is ${headlineOfJudged.toPrecision(3)}`;
  return [
    `${lost} of ${images} pictures have no verdict and count as wrong (missing ${missing}, unreadable ${unreadable}, judge failed ${judgeErrors})${judged}`,
  ];
}

/** Of a record that tells of its kept pictures only, those. */
export function verdictsOf({ verdicts, samples }: Evaluation): readonly VerdictRecord[] {
  return (
    verdicts ??
    samples.map(({ prompt, task, pass, why, rationale, scores }, index) => ({
      ...{ index, copy: 0, prompt, task, pass, why, rationale, scores },
      score: Number(pass),
    }))
  );
}

/** Whether its picture was kept, as a file or in the record. */
export function hasPicture(evaluation: Evaluation, verdict: VerdictRecord): boolean {
  return verdict.picture !== undefined || (keptOf(evaluation, verdict)?.image ?? '') !== '';
}

/** A picture as a page shows it; `picture` is where it is. */
export function judgedPicture(
  { pass, why, rationale = '', scores = {} }: Pick<VerdictRecord, 'pass' | 'why' | 'rationale' | 'scores'>,
  score: number,
  picture: string | undefined,
): PictureAnswer {
  return { pass, why, rationale, score, scores, ...(picture !== undefined && { picture }) };
}

/** The same with the picture itself in its address. */
export function heldPicture(sample: EvaluationSample): PictureAnswer {
  return judgedPicture(sample, Number(sample.pass), pictureData(sample.image));
}

/** The address that is the picture; undefined for none. The alphabet of base64 only: nothing in a damaged record may leave the address. */
export function pictureData(base64: string): string | undefined {
  return base64 === '' ? undefined : `data:image/png;base64,${base64.replaceAll(/[^A-Za-z0-9+/=]/g, '')}`;
}
