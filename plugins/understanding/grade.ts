/** Answers to questions about pictures, and whether they are right. Pure. */
import type { Verdict } from '../../core/plugin.ts';
import { yesOrNo } from '../../core/plugin.ts';

/** exact: the words are the same; yes-no: it begins with the right one; graded: how likely the right choice is among all. */
export const ways = ['exact', 'yes-no', 'graded'] as const;

export interface AskedQuestion {
  readonly picture: string;
  readonly question: string;
  /** The right answer, or several that are. */
  readonly answers: readonly string[];
  readonly how: (typeof ways)[number];
  /** What a graded answer is chosen among, the right ones included. */
  readonly choices: readonly string[];
}

/** What the model said, as it is kept. */
export type Said = { readonly text: string; readonly ended: boolean } | { readonly likely: readonly number[] };

export function grade(asked: AskedQuestion, said: Said): Verdict {
  return 'likely' in said ? gradeChoice(asked, said.likely) : gradeWords(asked, said);
}

function gradeWords({ answers, how }: AskedQuestion, { text, ended }: { text: string; ended: boolean }): Verdict {
  const [right = ''] = answers;
  const why = `"${text}"${ended ? '' : ' (cut off)'}, and right is ${right}`;
  if (how === 'exact') return { pass: answers.some((answer) => bare(answer) === bare(text)), why };
  const said = yesOrNo(text);
  if (said === undefined) return { pass: false, why: `neither yes nor no: ${why}`, unparsed: true };
  return { pass: said === yesOrNo(right), why };
}

/** `likely`: of each choice. The rest went to other words: how sure it is of what it was not asked about does not count. */
function gradeChoice({ answers, choices }: AskedQuestion, likely: readonly number[]): Verdict {
  const sum = likely.reduce((total, value) => total + value, 0);
  const isRight = (choice: string): boolean => answers.some((answer) => bare(answer) === bare(choice));
  const right = choices.reduce((total, choice, index) => total + (isRight(choice) ? (likely[index] ?? 0) : 0), 0);
  const score = sum > 0 ? Math.min(1, right / sum) : 0;
  const best = choices[likely.indexOf(Math.max(...likely))] ?? '';
  return {
    pass: isRight(best) && sum > 0,
    score,
    why: `${choices.map((choice, index) => `${choice} ${(likely[index] ?? 0).toFixed(3)}`).join(', ')}; right is ${answers[0] ?? ''}`,
  };
}

const numbers = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten'];

/** Without capitals, articles and what stands around words; numbers up to ten as digits. */
function bare(text: string): string {
  const words = text
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== '' && !['a', 'an', 'the'].includes(word));
  return words.map((word) => (numbers.includes(word) ? String(numbers.indexOf(word)) : word)).join(' ');
}
