/** Whoever answers questions about pictures: an endpoint, the run's own model, or a judge of the preset. */
import type { Image } from '../contracts/image.ts';
import type { Calls } from '../contracts/calls.ts';
import type { Judge, JudgeWith } from '../contracts/judge.ts';
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

/** For whoever is called by the runtime, which makes its calls as the preset says: a judge. */
export const directCalls: Pick<Calls, 'run'> = { run: (work, signal) => work(signal) };

export interface AskedJudge extends Pick<
  Judge,
  'title' | 'fingerprint' | 'changes' | 'byWorkers' | 'reserve' | 'rest'
> {
  /** Whether it writes answers, beside telling how likely they are. */
  readonly writes: boolean;
  /** Stands for who tells no probabilities, in errors. */
  readonly place?: string;
}

/** Whoever answers questions as a judge of a preset. */
export function askerJudge(asker: Asker, { writes, place, ...about }: AskedJudge): Judge {
  const written: Pick<Judge, 'answer' | 'write'> = {
    answer: async (image, question, signal) => {
      const { text, isCut } = await asker.answer(image, question, 0, signal);
      // The beginning of an answer may say the opposite of its end.
      return isCut ? '' : text;
    },
    write: (instruction, signal) => asker.write(instruction, signal),
  };
  return {
    ...about,
    ...(writes && written),
    answerProbabilities: async (image, question, answers, signal) => {
      const known = await asker.probabilities(image, question, answers, signal);
      if (known !== undefined) return known;
      throw new ReasongenError({
        code: 'JUDGE_REFUSED',
        message: `the judge tells no probabilities of its tokens (logprobs)`,
        ...(place !== undefined && { place }),
        hint: 'take an endpoint that does, such as vLLM, or ask for answers in words',
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
