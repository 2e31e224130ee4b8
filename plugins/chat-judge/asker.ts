/** An endpoint that answers questions about pictures. */
import { encodePng, shrunk } from '../../core/compute.ts';
import type { Asker, Calls, Image } from '../../core/plugin.ts';
import type { Answer, Content, Endpoint } from './endpoint.ts';

export interface EndpointAskerOptions {
  readonly endpoint: Endpoint;
  readonly calls: Pick<Calls, 'run'>;
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

async function dataUri(image: Image, longest: number | undefined): Promise<string> {
  return `data:image/png;base64,${(await encodePng(shrunk(image, longest))).toString('base64')}`;
}
