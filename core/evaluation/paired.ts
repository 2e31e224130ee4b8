/**
 * Two evaluations of the same prompts with the same random numbers, picture by picture. What is hard for one is hard for the other, so the
 * interval of the difference is narrower than two separate intervals let it seem.
 */
import { bootstrapPrompts } from './bootstrap.ts';
import { groupBy } from './group-by.ts';

/** The scores of one drawing, before and after. Drawings of one `prompt` belong together. */
export interface ScorePair {
  readonly prompt: number;
  readonly task: string;
  readonly before: number;
  readonly after: number;
}

export interface PairedDifference {
  /** Mean of after - before over all pairs. */
  readonly difference: number;
  /** 95 % interval of it. */
  readonly low: number;
  readonly high: number;
  readonly pairs: number;
  readonly prompts: number;
  /** Pairs whose score rose, and fell. */
  readonly rose: number;
  readonly fell: number;
  /** Exact two-sided p-value of McNemar's test; only for pass and fail with one drawing a prompt. */
  readonly mcnemar?: number;
}

/** `rose`, `fell`: the interval leaves out 0. `unclear`: it does not. */
export type Change = 'rose' | 'fell' | 'unclear';

/**
 * The difference with its interval. Pass and fail with one drawing a prompt: Bonett and Price (2012), which stays honest where few pairs differ;
 * anything else: prompts resampled within their tasks, seeded. Resampling takes few prompts, or prompts that are all alike, for certain: the interval
 * is then no narrower than that of the prompts that rose and fell. No pairs: it is [-1, 1].
 */
export function pairedDifference(pairs: readonly ScorePair[], seed = 0): PairedDifference {
  const counts = {
    pairs: pairs.length,
    prompts: new Set(pairs.map(({ prompt }) => prompt)).size,
    rose: pairs.filter(({ before, after }) => after > before).length,
    fell: pairs.filter(({ before, after }) => after < before).length,
  };
  if (pairs.length === 0) return { difference: 0, low: -1, high: 1, ...counts };
  const difference = meanDifference(pairs);
  const isPassFail = pairs.every(({ before, after }) => [before, after].every((score) => score === 0 || score === 1));
  if (isPassFail && counts.prompts === counts.pairs) {
    const [low, high] = adjustedEnds(counts.rose, counts.fell, counts.pairs);
    return { difference, low, high, ...counts, mcnemar: mcnemar(counts.rose, counts.fell) };
  }
  const clusters = [...groupBy(pairs, ({ prompt }) => prompt).values()].map((items) => ({
    stratum: items[0]?.task ?? '',
    items,
  }));
  const ends = bootstrapPrompts(
    clusters,
    (drawn) => ({ difference: meanDifference(drawn.flatMap(({ items }) => items)) }),
    { seed },
  );
  const [low, high] = ends['difference'] ?? [-1, 1];
  if (counts.prompts >= fewestPrompts && low < high) return { difference, low, high, ...counts };
  const changes = clusters.map(({ items }) => meanDifference(items));
  const largest = isPassFail ? 1 : Math.max(...changes.map(Math.abs));
  const [rose, fell] = [changes.filter((each) => each > 0).length, changes.filter((each) => each < 0).length];
  const [least, most] = adjustedEnds(rose, fell, counts.prompts);
  return { difference, low: Math.min(low, least * largest), high: Math.max(high, most * largest), ...counts };
}

/** Fewer that all rise do so by chance more often than once in twenty times (sign test); resampling takes fewer for certain. */
export const fewestPrompts = 6;

export function changeOf({ low, high, prompts }: PairedDifference): Change {
  if (prompts < fewestPrompts) return 'unclear';
  if (low > 0) return 'rose';
  return high < 0 ? 'fell' : 'unclear';
}

/** What is matched: a drawing by the number of its prompt and its own among those of the prompt. */
export interface ScoredDrawing {
  readonly index: number;
  readonly copy: number;
  readonly prompt: string;
  readonly task: string;
  readonly score: number;
}

/** Drawings of the same prompt and number in both lists, in the order of the second. What only one of them has is left out. */
export function pairDrawings(before: readonly ScoredDrawing[], after: readonly ScoredDrawing[]): ScorePair[] {
  const key = ({ index, copy, prompt }: ScoredDrawing): string => JSON.stringify([index, copy, prompt]);
  const first = new Map(before.map((drawing) => [key(drawing), drawing.score]));
  return after.flatMap((drawing): ScorePair[] => {
    const score = first.get(key(drawing));
    return score === undefined
      ? []
      : [{ prompt: drawing.index, task: drawing.task, before: score, after: drawing.score }];
  });
}

/** Exact two-sided McNemar test: how likely `rose` and `fell` differ at least so much when either is as likely. */
export function mcnemar(rose: number, fell: number): number {
  const flips = rose + fell;
  let chance = 0;
  for (let count = 0; count <= Math.min(rose, fell); count++) chance += Math.exp(logBinomial(flips, count));
  return Math.min(1, 2 * chance);
}

/** Logarithm of the probability of `count` heads among `flips`. */
function logBinomial(flips: number, count: number): number {
  let sum = -flips * Math.LN2;
  for (let each = 1; each <= count; each++) sum += Math.log((flips - count + each) / each);
  return sum;
}

/** Wald interval of a paired difference after one pair more of either kind. */
function adjustedEnds(rose: number, fell: number, pairs: number): [low: number, high: number] {
  const [up, down] = [(rose + 1) / (pairs + 2), (fell + 1) / (pairs + 2)];
  const half = 1.959964 * Math.sqrt((up + down - (up - down) ** 2) / (pairs + 2));
  return [Math.max(-1, up - down - half), Math.min(1, up - down + half)];
}

/** 0 of no pairs. */
export function meanDifference(pairs: readonly ScorePair[]): number {
  return pairs.reduce((sum, { before, after }) => sum + after - before, 0) / Math.max(1, pairs.length);
}
