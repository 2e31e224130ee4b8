/** Whoever answers questions about pictures: an endpoint, the run's own model, or a judge of the preset. */
import type { Image } from '../contracts/image.ts';
import type { JudgeWith } from '../contracts/judge.ts';
import { ReasongenError } from '../errors.ts';
import { noWords, yesOrNo, yesWords } from './answer.ts';

export interface Asker {
  /** @param turn the how-many-th answer to the same question it is */
  answer(
    image: Image,
    question: string,
    turn: number,
    signal: AbortSignal,
  ): Promise<{ readonly text: string; readonly isCut: boolean }>;
  /** How likely an answer begins with any spelling of each set; undefined where that is not told. */
  probabilities(
    image: Image,
    question: string,
    answers: readonly (readonly string[])[],
    signal: AbortSignal,
  ): Promise<readonly number[] | undefined>;
  write(instruction: string, signal: AbortSignal): Promise<string>;
}

/** A judge of the preset keeps its own answers. */
export function judgeAsker(judge: JudgeWith<'answer'>): Asker {
  return {
    answer: async (image, question, _turn, signal) => ({
      text: await judge.answer(image, question, signal),
      isCut: false,
    }),
    probabilities: (image, question, answers, signal) =>
      judge.answerProbabilities?.(image, question, answers, signal) ?? Promise.resolve(undefined),
    write: (instruction, signal) => {
      if (judge.write !== undefined) return judge.write(instruction, signal);
      throw new ReasongenError({
        code: 'CANNOT_WRITE',
        message: `the judge "${judge.name}" writes no questions, and the prompts come without a specification to make them of`,
        hint: 'name a judge that has `write`, or take prompts with the metadata of GenEval',
      });
    },
  };
}

/** The probability of yes against no; undefined when the answer is neither. */
export async function probabilityOfYes(
  asker: Asker,
  image: Image,
  question: string,
  votes: number,
  signal: AbortSignal,
): Promise<number | undefined> {
  const known = await asker.probabilities(image, question, [yesWords, noWords], signal);
  if (known !== undefined) {
    const [yes = 0, no = 0] = known;
    // What is left over went to other words: too much of it, and there is no answer.
    return yes + no < 0.1 ? undefined : yes / (yes + no);
  }
  const answers = await Promise.all(
    Array.from({ length: votes }, (_, turn) => asker.answer(image, question, turn, signal)),
  );
  const said = answers.flatMap(({ text }) => yesOrNo(text) ?? []);
  return said.length === 0 ? undefined : said.filter(Boolean).length / said.length;
}
