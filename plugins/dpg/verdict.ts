/** DPG's rules: answers to scores along the question graph, and scores to the headline and its categories. Pure. */
import { mean, type Atom, type JudgedPicture, type Summary, type Verdict } from '../../core/plugin.ts';
import type { DpgMode, QuestionedPrompt } from './questions.ts';

/** Answers by id of the question. */
export type Answers = Readonly<Record<string, string>>;

export function judgeTile({ questions, isDropped }: QuestionedPrompt, answers: Answers, mode: DpgMode): Verdict {
  const scores = new Map<string, number>();
  const read = questions.map(({ id }) => answerOf(answers[id] ?? '', mode));
  questions.forEach(({ id }, index) => scores.set(id, Number(read[index] === true)));
  const atoms = questions.map(({ id, parents, category, text }, index): Atom => {
    if (parents.some((parent) => scores.get(parent) === 0)) scores.set(id, 0);
    return { id: `${id} ${text}`, kind: category, score: scores.get(id) ?? 0, raw: Number(read[index] === true) };
  });
  const score = atoms.reduce((sum, atom) => sum + atom.score, 0) / Math.max(1, atoms.length);
  const refused = atoms.filter((atom) => atom.score === 0).map(({ id }) => id.replace(/^\S+ /, ''));
  return {
    pass: score === 1,
    score,
    why: refused.length === 0 ? `all ${atoms.length} answers are yes` : `not so: ${refused.join(' ')}`,
    atoms,
    ...(questions.some(({ id }) => !isRead(answers[id] ?? '', mode)) && { unparsed: true as const }),
    ...(isDropped === true && { parts: { 'left out by the published scorer': 1 } }),
  };
}

/** Whether an answer is one of the two that the mode knows. What official scores take for no without being it is counted, and told. */
function isRead(answer: string, mode: DpgMode): boolean {
  return mode === 'official' ? answer === 'yes' || answer === 'no' : answerOf(answer, mode) !== undefined;
}

/** Undefined for what is neither yes nor no. The published scorer takes exactly `yes` for yes and anything else for no. */
function answerOf(answer: string, mode: DpgMode): boolean | undefined {
  if (mode === 'official') return answer === 'yes';
  const [, word] = /^\W*(yes|no)\b/i.exec(answer) ?? [];
  return word === undefined ? undefined : word.toLowerCase() === 'yes';
}

/** What one verdict adds to each category, found once: intervals summarize the same verdicts a thousand times over. */
export class DpgCategories {
  readonly names: string[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #known = new WeakMap<Verdict, readonly number[]>();
  readonly #mode: DpgMode;

  constructor(mode: DpgMode) {
    this.#mode = mode;
  }

  /** Three numbers a category: which of `names`, the sum of its scores, which are whole, and how many there are. */
  of(verdict: Verdict): readonly number[] {
    const known = this.#known.get(verdict);
    if (known !== undefined) return known;
    const sums = new Map<number, [sum: number, count: number]>();
    for (const { kind, score, raw = score } of verdict.atoms ?? []) {
      const broad = kind.split('-')[0]?.trim() ?? kind;
      for (const name of new Set([broad, kind])) {
        const number = this.#number(name);
        const [sum, count] = sums.get(number) ?? [0, 0];
        sums.set(number, [sum + (this.#mode === 'official' ? raw : score), count + 1]);
      }
    }
    const flat = [...sums].flatMap(([number, [sum, count]]) => [number, sum, count]);
    this.#known.set(verdict, flat);
    return flat;
  }

  #number(name: string): number {
    const known = this.#numbers.get(name) ?? this.names.push(name) - 1;
    this.#numbers.set(name, known);
    return known;
  }
}

/**
 * Headline: the mean over prompts of the mean over their pictures, of 100. Categories officially: raw answers of the last picture; corrected:
 * all pictures, answers that depend on others as they count in the headline.
 */
export function summarizeDpg(
  pictures: readonly JudgedPicture[],
  mode: DpgMode,
  categories = new DpgCategories(mode),
): Summary {
  const isLost = ({ failure, verdict }: JudgedPicture): boolean =>
    failure !== undefined || verdict.parts?.['left out by the published scorer'] === 1;
  const counted = mode === 'official' ? pictures.filter((picture) => !isLost(picture)) : pictures;
  const prompts = new Map<number, JudgedPicture[]>();
  for (const picture of counted) {
    const some = prompts.get(picture.index);
    if (some === undefined) prompts.set(picture.index, [picture]);
    else some.push(picture);
  }
  const means = [...prompts.values()].map((some) => mean(some.map(({ verdict }) => verdict.score)));
  const sums: number[] = [];
  const counts: number[] = [];
  for (const some of prompts.values()) {
    const lastCopy = Math.max(...some.map(({ copy }) => copy));
    for (const { copy, verdict } of some) {
      if (mode === 'official' && copy !== lastCopy) continue;
      const own = categories.of(verdict);
      for (let at = 0; at < own.length; at += 3) {
        const number = own[at] ?? 0;
        sums[number] = (sums[number] ?? 0) + (own[at + 1] ?? 0);
        counts[number] = (counts[number] ?? 0) + (own[at + 2] ?? 0);
      }
    }
  }
  const scores = categories.names.flatMap((name, number) => {
    const count = counts[number] ?? 0;
    return count === 0 ? [] : [[name, 100 * ((sums[number] ?? 0) / count)] as const];
  });
  return {
    headline: { name: 'overall', value: 100 * mean(means) },
    outOf: 100,
    scores: Object.fromEntries(scores.toSorted(([a], [b]) => (a < b ? -1 : 1))),
  };
}
