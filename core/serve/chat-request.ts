/** `POST /v1/chat/completions`: what of OpenAI's request is understood. What would change an answer and is not, is refused by name. */
import { isDeepStrictEqual } from 'node:util';
import type { Turn } from '../contracts/tokenizer.ts';
import { z } from '../preset/zod.ts';
import { badRequest } from './api-error.ts';

const textPart = z.strictObject({ type: z.literal('text'), text: z.string() });
const picturePart = z.strictObject({
  type: z.literal('image_url'),
  image_url: z.strictObject({ url: z.string().min(1), detail: z.enum(['auto', 'low', 'high']).nullish() }),
});
const name = z.string().max(200).nullish();
const texts = z.union([z.string(), z.array(textPart).min(1).max(64)]);

/** Accepted where it asks for nothing: null, or one of these. */
const nothing = (...values: readonly unknown[]): z.ZodOptional =>
  z
    .unknown()
    .refine(
      (value) => [null, ...values].some((each) => isDeepStrictEqual(each, value)),
      'this server does not offer this',
    )
    .optional();

const message = z.discriminatedUnion('role', [
  z.strictObject({ role: z.enum(['system', 'developer']), content: texts, name }),
  z.strictObject({
    role: z.literal('user'),
    content: z.union([
      z.string(),
      z
        .array(z.discriminatedUnion('type', [textPart, picturePart]))
        .min(1)
        .max(64),
    ]),
    name,
  }),
  z.strictObject({
    role: z.literal('assistant'),
    content: texts,
    name,
    // What else answers of OpenAI's clients hold: programs send them back as they came.
    refusal: nothing(),
    annotations: nothing([]),
    audio: nothing(),
    function_call: nothing(),
    tool_calls: nothing([]),
  }),
]);

const seed = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const share = z.number().min(0).max(2);

export const chatRequest = z.strictObject({
  model: z.string().min(1).max(500),
  messages: z.array(message).min(1).max(256),
  temperature: share.nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  top_k: z
    .int()
    .min(0)
    .max(2 ** 31)
    .nullish(),
  max_tokens: z.int().min(1).nullish(),
  max_completion_tokens: z.int().min(1).nullish(),
  n: z.int().min(1).nullish(),
  seed: seed.nullish(),
  stop: z.union([z.string().min(1).max(200), z.array(z.string().min(1).max(200)).max(4)]).nullish(),
  stream: z.boolean().nullish(),
  stream_options: z
    .strictObject({ include_usage: z.boolean().nullish(), include_obfuscation: z.boolean().nullish() })
    .nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  response_format: nothing({ type: 'text' }),
  frequency_penalty: nothing(0, -0),
  presence_penalty: nothing(0, -0),
  logit_bias: nothing({}),
  tools: nothing([]),
  tool_choice: nothing('none', 'auto'),
  parallel_tool_calls: z.unknown().optional(),
  functions: nothing([]),
  function_call: nothing('none', 'auto'),
  modalities: nothing(['text']),
  // What says nothing of the answer.
  user: z.string().max(1000).nullish(),
  metadata: z.unknown().optional(),
  store: z.unknown().optional(),
  service_tier: z.unknown().optional(),
  safety_identifier: z.unknown().optional(),
  prompt_cache_key: z.unknown().optional(),
});

export type ChatRequest = z.output<typeof chatRequest>;

/** How answers to a conversation are written. */
export interface ChatSettings {
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly tokens: number;
  readonly choices: number;
  readonly seed: number | undefined;
  readonly stops: readonly string[];
  readonly streams: boolean;
  readonly includesUsage: boolean;
  /** Likeliest tokens told with each; undefined where no log-probabilities are asked for. */
  readonly top: number | undefined;
}

export function chatSettings(
  request: ChatRequest,
  limits: { readonly answerTokens: number; readonly choices: number },
): ChatSettings {
  const { max_completion_tokens: most, max_tokens: older, logprobs, top_logprobs: top, stop, stream, n } = request;
  const tokens = most ?? older ?? limits.answerTokens;
  if (tokens > limits.answerTokens)
    throw badRequest(
      `this server writes at most ${limits.answerTokens} tokens`,
      typeof most === 'number' ? 'max_completion_tokens' : 'max_tokens',
    );
  const choices = n ?? 1;
  if (choices > limits.choices) throw badRequest(`this server gives at most ${limits.choices} choices`, 'n');
  if (typeof top === 'number' && logprobs !== true)
    throw badRequest('top_logprobs needs logprobs: true', 'top_logprobs');
  return {
    temperature: request.temperature ?? 1,
    topP: request.top_p ?? 1,
    topK: request.top_k ?? 0,
    tokens,
    choices,
    seed: request.seed ?? undefined,
    stops: typeof stop === 'string' ? [stop] : (stop ?? []),
    streams: stream === true,
    includesUsage: request.stream_options?.include_usage === true,
    top: logprobs === true ? (top ?? 0) : undefined,
  };
}

/** Where a picture comes from, and what of the request names it. */
export interface AskedPicture {
  readonly url: string;
  readonly param: string;
}

/** A turn whose pictures have not been read yet. */
export type AskedTurn = Omit<Turn, 'pictures'> & { readonly pictures: readonly AskedPicture[] };

/** A conversation as models have it: what a system message says stands in front of the first question, pictures in front of theirs. */
export function conversationOf(messages: ChatRequest['messages']): {
  readonly turns: readonly AskedTurn[];
  readonly pictures: readonly AskedPicture[];
} {
  const turns: { question: string; pictures: readonly AskedPicture[]; answer?: string }[] = [];
  const instructions: string[] = [];
  for (const [index, { role, content }] of messages.entries()) {
    const param = `messages[${index}]`;
    const last = turns.at(-1);
    if (role === 'system' || role === 'developer') {
      if (turns.length > 0) throw badRequest('instructions stand in front of the first question', param);
      instructions.push(textOf(content));
    } else if (role === 'assistant') {
      if (last === undefined || last.answer !== undefined) throw badRequest('an answer follows a question', param);
      last.answer = textOf(content);
    } else {
      if (last !== undefined && last.answer === undefined)
        throw badRequest('two questions in a row: put them into one message', param);
      const own = (typeof content === 'string' ? [] : content).flatMap((part, place) =>
        part.type === 'image_url' ? [{ url: part.image_url.url, param: `${param}.content[${place}]` }] : [],
      );
      const question = [...(turns.length === 0 ? instructions : []), textOf(content)].join('\n\n');
      turns.push({ question, pictures: own });
    }
  }
  const last = turns.at(-1);
  if (last === undefined || last.answer !== undefined)
    throw badRequest('the last message is the question that is to be answered', 'messages');
  return { turns, pictures: turns.flatMap(({ pictures }) => pictures) };
}

function textOf(content: string | readonly ({ readonly type: string } & Partial<Record<'text', string>>)[]): string {
  return typeof content === 'string' ? content : content.flatMap(({ text }) => text ?? []).join('\n');
}
