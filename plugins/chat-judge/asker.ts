/** Whoever answers questions about pictures: an endpoint of one's own, or a judge of the preset. */
import { encodePng, resizeBicubic } from '../../core/compute.ts';
import { ReasongenError, type Calls, type Image, type JudgeWith } from '../../core/plugin.ts';
import { noWords, yesOrNo, yesWords } from './answer.ts';
import type { Answer, Content, Endpoint } from './endpoint.ts';

export interface Asker {
  /** @param turn the how-many-th answer to the same question it is */
  answer(image: Image, question: string, turn: number, signal: AbortSignal): Promise<Pick<Answer, 'text' | 'isCut'>>;
  /** Likeliest first tokens by their probability; undefined where none are told. */
  probabilities(
    image: Image,
    question: string,
    answers: readonly (readonly string[])[],
    signal: AbortSignal,
  ): Promise<readonly number[] | undefined>;
  write(instruction: string, signal: AbortSignal): Promise<string>;
}

export interface EndpointAskerOptions {
  readonly endpoint: Endpoint;
  readonly calls: Calls;
  readonly fingerprint: Readonly<Record<string, string>>;
  /** Longest side of the picture that is sent, in pixels; as drawn when absent. */
  readonly pictureSide: number | undefined;
}

/** Every question goes through `calls`, and its answer is kept. */
export function endpointAsker({ endpoint, calls, fingerprint, pictureSide }: EndpointAskerOptions): Asker {
  const shown = async (image: Image, question: string): Promise<Content> => [
    { type: 'image_url', image_url: { url: await dataUri(image, pictureSide) } },
    { type: 'text', text: question },
  ];
  const ask = (
    image: Image,
    question: string,
    asked: readonly unknown[],
    signal: AbortSignal,
    wants = false,
  ): Promise<Answer> =>
    calls.run(async (inner) => plain(await endpoint.ask(await shown(image, question), inner, wants)), signal, {
      image,
      fingerprint,
      asked: [...asked, question],
    });
  return {
    answer: (image, question, turn, signal) => ask(image, question, turn === 0 ? ['answer'] : ['answer', turn], signal),
    probabilities: async (image, question, answers, signal) => {
      const { firstTokens } = await ask(image, question, ['first token'], signal, true);
      return firstTokens && answers.map((spellings) => probabilityOf(firstTokens, spellings));
    },
    write: async (instruction, signal) =>
      (
        await calls.run(
          async (inner) => plain(await endpoint.ask([{ type: 'text', text: instruction }], inner)),
          signal,
          {
            fingerprint,
            asked: ['write', instruction],
          },
        )
      ).text,
  };
}

/** As JSON keeps it. */
function plain({ text, isCut, firstTokens }: Answer): Answer {
  return firstTokens === undefined ? ({ text, isCut } as Answer) : { text, isCut, firstTokens };
}

function probabilityOf(tokens: NonNullable<Answer['firstTokens']>, spellings: readonly string[]): number {
  const own = tokens.filter(({ token }) => spellings.includes(token));
  return own.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0);
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

async function dataUri(image: Image, longest: number | undefined): Promise<string> {
  const scale = longest === undefined ? 1 : Math.min(1, longest / Math.max(image.width, image.height));
  const [width, height] = [image.width, image.height].map((side) => Math.max(1, Math.round(side * scale)));
  const sent = scale === 1 ? image : resizeBicubic(image, width ?? 1, height ?? 1);
  return `data:image/png;base64,${(await encodePng(sent)).toString('base64')}`;
}
