/** WISE: from what a judge says of a picture to its score, and from scores to the weighted mean of the categories. Pure. */
import { mean, type JudgedPicture, type Summary, type Verdict } from '../../core/plugin.ts';

/** `legacy`: three marks from 0 to 2; `verified`: right or wrong. */
export const modes = ['legacy', 'verified'] as const;
export type Mode = (typeof modes)[number];

/** Each category: the last `prompt_id` of it, and its weight in the overall score. */
export const wiseCategories: Readonly<
  Record<Mode, readonly { readonly name: string; readonly last: number; readonly weight: number }[]>
> = {
  legacy: [
    { name: 'culture', last: 400, weight: 0.4 },
    { name: 'time', last: 567, weight: 0.167 },
    { name: 'space', last: 700, weight: 0.133 },
    { name: 'biology', last: 800, weight: 0.1 },
    { name: 'physics', last: 900, weight: 0.1 },
    { name: 'chemistry', last: 1000, weight: 0.1 },
  ],
  verified: [
    { name: 'culture', last: 400, weight: 0.4 },
    { name: 'time', last: 520, weight: 0.12 },
    { name: 'space', last: 640, weight: 0.12 },
    { name: 'biology', last: 760, weight: 0.12 },
    { name: 'physics', last: 880, weight: 0.12 },
    { name: 'chemistry', last: 1000, weight: 0.12 },
  ],
};

/** Undefined for a number that no prompt has. */
export function categoryOf(id: number, mode: Mode): string | undefined {
  return id < 1 ? undefined : wiseCategories[mode].find(({ last }) => id <= last)?.name;
}

export interface Marks {
  readonly consistency: number;
  readonly realism: number;
  readonly aesthetics: number;
}

export function wiScore({ consistency, realism, aesthetics }: Marks): number {
  // In whole numbers, so that the best is 1 and no less.
  return (7 * consistency + 2 * realism + aesthetics) / 20;
}

/** The marks in an answer, each on a line of its own; undefined where one is missing or stands there twice, as in an answer that quotes the question. */
export function marksIn(answer: string): Marks | undefined {
  const markOf = (name: string): number | undefined => {
    const found = [...answer.matchAll(new RegExp(`^[\\s*#-]*${name}[\\s*]*:[\\s*]*([0-2])[\\s*]*$`, 'gim'))];
    return found.length === 1 ? Number(found[0]?.[1]) : undefined;
  };
  const [consistency, realism, aesthetics] = [
    markOf('consistency'),
    markOf('realism'),
    markOf('aesthetic(?: quality|s)?'),
  ];
  return consistency === undefined || realism === undefined || aesthetics === undefined
    ? undefined
    : { consistency, realism, aesthetics };
}

/** The only mark of an answer in verified mode. */
function rightIn(answer: string): boolean | undefined {
  const [, mark] = /^\W*(?:score\W*)?([01])\W*$/i.exec(answer) ?? [];
  return mark === undefined ? undefined : mark === '1';
}

export function judgeAnswer(answer: string, mode: Mode): Verdict {
  if (mode === 'verified') {
    const isRight = rightIn(answer);
    return isRight === undefined ? unread(answer) : { pass: isRight, why: answer };
  }
  const marks = marksIn(answer);
  if (marks === undefined) return unread(answer);
  const score = wiScore(marks);
  return { pass: score === 1, score, why: answer, parts: { ...marks } };
}

function unread(answer: string): Verdict {
  return { pass: false, score: 0, why: `no marks in: ${answer}`, unparsed: true };
}

/** The weighted mean of the categories; of those alone that there are pictures of. */
export function summarizeWise(pictures: readonly JudgedPicture[], mode: Mode): Summary {
  const scores: Record<string, number> = {};
  let [sum, weights] = [0, 0];
  for (const { name, weight } of wiseCategories[mode]) {
    const own = pictures.filter(({ task }) => task === name);
    if (own.length === 0) continue;
    scores[name] = mean(own.map(({ verdict }) => verdict.score));
    sum += weight * scores[name];
    weights += weight;
  }
  return { headline: { name: 'WiScore', value: weights === 0 ? 0 : sum / weights }, scores };
}
