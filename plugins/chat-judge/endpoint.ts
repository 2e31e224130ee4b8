/** A chat endpoint that is asked one question at a time; how many there are under way, and what follows a failure, is the runtime's matter. */
import { fileURLToPath } from 'node:url';
import type { OpenAI } from 'openai';
import {
  askServer,
  exitCodes,
  findPackage,
  oneLine,
  parsedAnswer,
  ReasongenError,
  TryAgainError,
  z,
} from '../../core/plugin.ts';

export interface EndpointOptions {
  /** Up to its version. */
  readonly url: string;
  readonly model: string;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly key: string | undefined;
  /** Where a key would come from, for messages. */
  readonly keyVariable: string | undefined;
  /** Told of the tokens that an answer has cost. */
  readonly spend: (tokens: number) => void;
}

/** What is shown and said: the content of a user's message. */
export type Content = readonly (
  | { readonly type: 'image_url'; readonly image_url: { readonly url: string } }
  | { readonly type: 'text'; readonly text: string }
)[];

export interface Answer {
  readonly text: string;
  readonly isCut: boolean;
  /** Likeliest first tokens with their log-probabilities; undefined where the endpoint tells none. */
  readonly firstTokens: readonly { readonly token: string; readonly logprob: number }[] | undefined;
}

const contentSchema = z.union([z.string(), z.array(z.looseObject({ text: z.string().nullish() }))]);
const tokenSchema = z.looseObject({ token: z.string(), logprob: z.number() });

/** What of an answer is read. */
const answerSchema = z.looseObject({
  choices: z
    .array(
      z.looseObject({
        finish_reason: z.string().nullish(),
        message: z.looseObject({ content: contentSchema.nullish() }),
        logprobs: z
          .looseObject({
            content: z.array(tokenSchema.extend({ top_logprobs: z.array(tokenSchema).nullish() })).nullish(),
          })
          .nullish(),
      }),
    )
    .min(1),
  usage: z.looseObject({ total_tokens: z.number().nullish() }).nullish(),
});

export class Endpoint {
  private readonly options: EndpointOptions;
  /** Newer models of OpenAI know the second name only. */
  private lengthKey: 'max_tokens' | 'max_completion_tokens' = 'max_tokens';

  /** Throws OPENAI_MISSING where its package is not installed: at the start of a run rather than at the first question. */
  constructor(options: EndpointOptions) {
    if (findPackage('openai', [fileURLToPath(import.meta.url)]) === undefined)
      throw new ReasongenError({
        code: 'OPENAI_MISSING',
        message: 'the package openai, by which chat endpoints are asked, is not installed',
        hint: 'the installation is not whole: run `npm install` again',
        exitCode: exitCodes.badPreset,
      });
    this.options = options;
  }

  /**
   * Throws TryAgainError where asking again may help, JUDGE_REFUSED where it would not.
   * @param wantsProbabilities asks for the log-probabilities of the first token, which some endpoints do not tell
   */
  async ask(content: Content, signal: AbortSignal, wantsProbabilities = false): Promise<Answer> {
    const { model, maxTokens, temperature, spend } = this.options;
    const { lengthKey } = this;
    const failure: { error?: unknown } = {};
    const client = await this.client(failure);
    try {
      const completion: unknown = await client.chat.completions.create(
        {
          model,
          [lengthKey]: wantsProbabilities ? 1 : maxTokens,
          temperature,
          messages: [{ role: 'user', content: [...content] }],
          ...(wantsProbabilities && { logprobs: true, top_logprobs: 20 }),
        },
        { signal },
      );
      const { answer, tokens } = readAnswer(completion, this.options.url);
      spend(tokens);
      return answer;
    } catch (error) {
      signal.throwIfAborted();
      // The client wraps what its fetch throws.
      const cause = failure.error ?? error;
      if (lengthKey === 'max_tokens' && isRefused(cause, 'max_completion_tokens')) {
        this.lengthKey = 'max_completion_tokens';
        return this.ask(content, signal, wantsProbabilities);
      }
      // Some know no probabilities: then words must do.
      if (wantsProbabilities && isRefused(cause, 'logprob')) return { text: '', isCut: false, firstTokens: undefined };
      throw cause;
    }
  }

  /** It sends nothing by itself: requests go as all requests of the program go, and what fails is asked again by the runtime. */
  private async client(failure: { error?: unknown }): Promise<OpenAI> {
    const { url, key, keyVariable } = this.options;
    const { OpenAI: Client } = await import('openai');
    const server = { url, key, keyVariable };
    return new Client({
      baseURL: url.replace(/\/+$/, ''),
      // It would look for one in the environment otherwise; what is sent is said below.
      apiKey: 'none',
      maxRetries: 0,
      logLevel: 'off',
      fetch: async (address, init) => {
        try {
          const headers = {
            'content-type': 'application/json',
            ...(key !== undefined && { authorization: `Bearer ${key}` }),
          };
          const text = await askServer(
            typeof address === 'string' ? address : 'url' in address ? address.url : address.href,
            { ...init, headers },
            server,
          );
          parsedAnswer(text, server);
          return new Response(text, { headers: { 'content-type': 'application/json' } });
        } catch (error) {
          failure.error = error;
          throw error;
        }
      },
    });
  }
}

function isRefused(cause: unknown, because: string): boolean {
  return (
    cause instanceof ReasongenError &&
    cause.code === 'JUDGE_REFUSED' &&
    /answered 4(00|22)/.test(cause.message) &&
    cause.message.includes(because)
  );
}

function readAnswer(completion: unknown, url: string): { readonly answer: Answer; readonly tokens: number } {
  const read = answerSchema.safeParse(completion);
  const [first] = read.data?.choices ?? [];
  if (first === undefined)
    throw new TryAgainError(
      `gave an answer that is not one of a chat endpoint: ${oneLine(JSON.stringify(completion))}`,
      {
        place: url,
      },
    );
  const content = first.message.content ?? '';
  const [token] = first.logprobs?.content ?? [];
  return {
    answer: {
      text: typeof content === 'string' ? content : content.map((part) => part.text ?? '').join(''),
      isCut: first.finish_reason === 'length',
      firstTokens: token === undefined ? undefined : (token.top_logprobs ?? [token]),
    },
    tokens: read.data?.usage?.total_tokens ?? 0,
  };
}
