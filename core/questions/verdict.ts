/** What a model that looks at a picture says of it, as a reward. */
import { mean } from '../rl/statistics.ts';
import type { NoVerdict, RewardAnswer, Sample, Score } from '../contracts/reward.ts';
import { boxedScore, gradedInstruction, strictInstruction } from './answer.ts';
import { probabilityOfYes, type Asker } from './asker.ts';
import {
  combined,
  questionsByRule,
  questionsHash,
  parseQuestions,
  type Aggregate,
  type AtomicQuestion,
} from './atomic.ts';

/** How a verdict is asked for; see `questionOptions`. */
export interface QuestionChoice {
  readonly mode: 'boxed' | 'graded' | 'decomposed';
  readonly instruction?: string | undefined;
  /** Whether a box may hold a number between 0 and 1. */
  readonly partial: boolean;
  readonly decomposing: string;
  readonly aggregate: Aggregate;
  /** Answers to the same question whose mean counts. */
  readonly votes: number;
  readonly bothOrders: boolean;
  readonly unparsed: 'none' | 'zero';
  /** Of an answer. */
  readonly maxTokens: number;
}

/** What the answers of `asker` say of a drawing: a score, or that there is no verdict. */
export async function verdictByQuestions(
  sample: Sample,
  asker: Asker,
  choice: QuestionChoice,
  signal: AbortSignal,
): Promise<RewardAnswer> {
  const said =
    choice.mode === 'boxed'
      ? await boxed(sample, asker, choice, signal)
      : choice.mode === 'graded'
        ? await graded(sample, asker, choice, signal)
        : await decomposed(sample, asker, choice, signal);
  // Nothing is made up in the place of a verdict, unless the preset wants the published rule.
  return 'noVerdict' in said && choice.unparsed === 'zero' ? { value: 0, why: said.noVerdict, unparsed: true } : said;
}

async function boxed(
  sample: Sample,
  asker: Asker,
  { instruction = strictInstruction, partial, votes, maxTokens }: QuestionChoice,
  signal: AbortSignal,
): Promise<Score | NoVerdict> {
  const question = asked(instruction, sample.prompt);
  const answers = await Promise.all(
    Array.from({ length: votes }, (_, turn) => asker.answer(sample.image, question, turn, signal)),
  );
  const values = answers.map(({ text, isCut }) =>
    isCut ? undefined : boxedScore(text, [question, sample.prompt], partial),
  );
  const known = values.filter((value) => value !== undefined);
  const [first] = answers;
  if (known.length === 0)
    return {
      noVerdict:
        first?.isCut === true
          ? `the answer was cut off after ${maxTokens} tokens: ${first.text}`
          : `no verdict in: ${first?.text ?? ''}`,
    };
  const value = mean(known);
  return { value, why: answers.map(({ text }) => text).join('\n\n') };
}

async function graded(
  sample: Sample,
  asker: Asker,
  choice: QuestionChoice,
  signal: AbortSignal,
): Promise<Score | NoVerdict> {
  const question = asked(choice.instruction ?? gradedInstruction, sample.prompt);
  const yes = await yesTo(sample, question, asker, choice, signal);
  return yes === undefined
    ? { noVerdict: `neither yes nor no to: ${question}` }
    : { value: yes, why: `yes: ${yes.toFixed(3)}` };
}

async function decomposed(
  sample: Sample,
  asker: Asker,
  choice: QuestionChoice,
  signal: AbortSignal,
): Promise<Score | NoVerdict> {
  const questions = await questionsOf(sample, asker, choice, signal);
  if (questions === undefined) return { noVerdict: `no questions were written for: ${sample.prompt}` };
  const yes = await Promise.all(
    questions.map(({ question }) =>
      yesTo(sample, `${question} Answer with one word, yes or no.`, asker, choice, signal),
    ),
  );
  const silent = questions.find((_, index) => yes[index] === undefined);
  if (silent !== undefined) return { noVerdict: `neither yes nor no to: ${silent.question}` };
  const known = yes.map((value) => value ?? 0);
  const lines = questions.map(({ question }, index) => `${(known[index] ?? 0).toFixed(3)} ${question}`);
  return {
    value: combined(questions, known, choice.aggregate),
    why: `questions ${questionsHash(questions)}:\n${lines.join('\n')}`,
    parts: { questions: questions.length, least: Math.min(...known) },
  };
}

/** From what the prompt comes with, else written once: the same prompt is asked for the same questions, whose answer is kept. */
async function questionsOf(
  { prompt, specification }: Sample,
  asker: Asker,
  { decomposing }: QuestionChoice,
  signal: AbortSignal,
): Promise<AtomicQuestion[] | undefined> {
  return questionsByRule(specification) ?? parseQuestions(await asker.write(asked(decomposing, prompt), signal));
}

/** In both orders, where the preset wants it: some models prefer the word that they see first. */
async function yesTo(
  { image }: Sample,
  question: string,
  asker: Asker,
  { votes, bothOrders }: QuestionChoice,
  signal: AbortSignal,
): Promise<number | undefined> {
  const other = question.replaceAll('yes or no', 'no or yes');
  const forms = bothOrders && other !== question ? [question, other] : [question];
  const values = await Promise.all(forms.map((form) => probabilityOfYes(asker, image, form, votes, signal)));
  const known = values.filter((value) => value !== undefined);
  return known.length < values.length ? undefined : mean(known);
}

function asked(instruction: string, prompt: string): string {
  return instruction.replaceAll('{prompt}', () => prompt);
}
