/** A prompt taken apart into questions that can be answered by yes or no, each for itself. */
import { createHash } from 'node:crypto';
import { z } from '../preset/zod.ts';

export interface AtomicQuestion {
  readonly question: string;
  /** Numbers of questions that must be answered by yes before this one means anything. */
  readonly after: readonly number[];
}

/** {prompt} stands for the prompt. */
export const decomposingInstruction = `Take this prompt for a picture apart: "{prompt}".
Write every single thing that it demands as a question about the picture that is answered by yes or no: one for each object, each count, each color or other property, each relation. Nothing that the prompt does not demand. A question that presumes the answer to another names it in "after", by its number from 0.
Answer with JSON only: [{"question": "Is there a dog?", "after": []}, {"question": "Is the dog brown?", "after": [0]}]`;

const writtenSchema = z
  .array(z.object({ question: z.string().trim().min(1).max(500), after: z.array(z.int().min(0)).default([]) }))
  .min(1)
  .max(40);

/** Questions that a model has written; undefined when it has not. Each may depend on earlier ones only. */
export function parseQuestions(answer: string): AtomicQuestion[] | undefined {
  const [list] = /\[[^]*\]/.exec(answer) ?? [];
  if (list === undefined) return undefined;
  try {
    const read = writtenSchema.safeParse(JSON.parse(list));
    if (!read.success || read.data.some(({ after }, index) => after.some((each) => each >= index))) return undefined;
    return read.data;
  } catch {
    return undefined;
  }
}

const wantedSchema = z.looseObject({
  include: z
    .array(
      z.looseObject({
        class: z.string().min(1),
        count: z.int().positive().default(1),
        color: z.string().optional(),
        position: z.tuple([z.string(), z.int().min(0)]).optional(),
      }),
    )
    .min(1),
});

/** Questions by rule, where a prompt comes with what GenEval's metadata say: objects, counts, colors, places. */
export function questionsByRule(specification: unknown): AtomicQuestion[] | undefined {
  const read = wantedSchema.safeParse(specification);
  if (!read.success) return undefined;
  const questions: AtomicQuestion[] = [];
  const ask = (question: string, after: readonly number[]): number => questions.push({ question, after }) - 1;
  const seen = read.data.include.map(({ class: name, count, color }) => {
    const is = ask(`Is there ${count > 1 ? 'at least one' : 'a'} ${name} in the picture?`, []);
    if (count > 1) ask(`Are there exactly ${count} of them in the picture: ${name}?`, [is]);
    if (color !== undefined) ask(`Is the ${name} ${color}?`, [is]);
    return is;
  });
  read.data.include.forEach(({ class: name, position }, index) => {
    const other = position && read.data.include[position[1]];
    if (position === undefined || other === undefined) return;
    ask(`Is the ${name} ${position[0]} the ${other.class}?`, [seen[index] ?? 0, seen[position[1]] ?? 0]);
  });
  return questions;
}

/** A name for these very questions. */
export function questionsHash(questions: readonly AtomicQuestion[]): string {
  return createHash('sha256').update(JSON.stringify(questions)).digest('hex').slice(0, 12);
}

export type Aggregate = 'product' | 'mean' | 'geometric-mean';

/** One number of the probabilities of yes: a question counts as no where one it depends on is more likely no. */
export function combined(questions: readonly AtomicQuestion[], yes: readonly number[], by: Aggregate): number {
  const holds: boolean[] = [];
  const values = questions.map(({ after }, index) => {
    const isMeant = after.every((each) => holds[each] === true);
    const value = isMeant ? (yes[index] ?? 0) : 0;
    holds.push(isMeant && value >= 0.5);
    return value;
  });
  const product = values.reduce((all, value) => all * value, 1);
  if (by === 'product') return product;
  if (by === 'mean') return values.reduce((sum, value) => sum + value, 0) / values.length;
  return product ** (1 / values.length);
}
