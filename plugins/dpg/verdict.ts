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
    ...(read.includes(undefined) && { unparsed: true as const }),
    ...(isDropped === true && { parts: { 'left out by the published scorer': 1 } }),
  };
}

/** Undefined for what is neither yes nor no. The published scorer takes exactly `yes` for yes and anything else for no. */
function answerOf(answer: string, mode: DpgMode): boolean | undefined {
  if (mode === 'official') return answer === 'yes';
  const [, word] = /^\W*(yes|no)\b/i.exec(answer) ?? [];
  return word === undefined ? undefined : word.toLowerCase() === 'yes';
}

/**
 * Headline: the mean over prompts of the mean over their pictures, of 100. Categories officially: raw answers of the last picture; corrected:
 * all pictures, answers that depend on others as they count in the headline.
 */
export function summarizeDpg(pictures: readonly JudgedPicture[], mode: DpgMode): Summary {
  const isLost = ({ failure, verdict }: JudgedPicture): boolean =>
    failure !== undefined || verdict.parts?.['left out by the published scorer'] === 1;
  const counted = mode === 'official' ? pictures.filter((picture) => !isLost(picture)) : pictures;
  const prompts = new Map<number, JudgedPicture[]>();
  for (const picture of counted) prompts.set(picture.index, [...(prompts.get(picture.index) ?? []), picture]);
  const means = [...prompts.values()].map((some) => mean(some.map(({ verdict }) => verdict.score)));
  const byCategory = new Map<string, number[]>();
  for (const some of prompts.values()) {
    const lastCopy = Math.max(...some.map(({ copy }) => copy));
    for (const { copy, verdict } of some) {
      if (mode === 'official' && copy !== lastCopy) continue;
      for (const { kind, score, raw = score } of verdict.atoms ?? []) {
        const broad = kind.split('-')[0]?.trim() ?? kind;
        for (const name of new Set([broad, kind])) {
          const list = byCategory.get(name) ?? [];
          list.push(mode === 'official' ? raw : score);
          byCategory.set(name, list);
        }
      }
    }
  }
  return {
    headline: { name: 'overall', value: 100 * mean(means) },
    outOf: 100,
    scores: Object.fromEntries(
      [...byCategory].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([name, list]) => [name, 100 * mean(list)]),
    ),
  };
}
