/** A vision-language model behind a chat endpoint as a judge: vLLM, llama.cpp, Ollama or any other that speaks the protocol of OpenAI's chat completions. */
import { encodePng } from '../../core/compute.ts';
import { definePlugin, defineReward, readKey, ReasongenError, z, type Sample, type Score } from '../../core/plugin.ts';
import { boxedScore, strictInstruction } from './answer.ts';
import { Endpoint } from './endpoint.ts';

const options = z.strictObject({
  url: z
    .url({ protocol: /^https?$/ })
    .refine((url) => !hasMore(url), 'an address without user, password, ? and #; a key goes into a variable')
    .describe('address of the endpoint up to its version, e.g. http://localhost:8000/v1'),
  model: z.string().min(1).describe('name of the model, as the endpoint calls it'),
  instruction: z
    .string()
    .includes('{prompt}')
    .default(strictInstruction)
    .describe(
      'what is asked; {prompt} stands for the prompt; the answer must end with a number from 0 to 1 in \\boxed{}',
    ),
  maxTokens: z.number().int().positive().default(1024).describe('longest answer'),
  temperature: z.number().nonnegative().default(0).describe('of the answer; 0 is greedy'),
  atOnce: z.number().int().positive().default(8).describe('questions under way at a time'),
  attempts: z
    .number()
    .int()
    .positive()
    .default(8)
    .describe(
      'tries for a question before the run is stopped, with pauses from a second to a minute, or as the endpoint asks',
    ),
  timeout: z.number().positive().default(120).describe('seconds a question may take'),
  keyVariable: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'the name of an environment variable, not a key')
    .optional()
    .describe(
      'environment variable with the key, sent to url over https or to this machine only; OPENAI_API_KEY for api.openai.com, none elsewhere',
    ),
});

type Options = z.output<typeof options>;

export default definePlugin({
  name: 'chat-judge',
  provides: [
    defineReward({
      name: 'chat-judge',
      summary: 'a vision-language model behind a chat endpoint says whether the picture matches the prompt',
      options,
      create: (choice, { log }) => {
        const endpoint = new Endpoint({ ...choice, ...keyOf(choice), log });
        return {
          judgesBenchmarks: true,
          score: (samples, signal) =>
            inTurn(samples, choice.atOnce, signal, (sample, given) => judge(sample, endpoint, choice, given)),
        };
      },
    }),
  ],
});

/** The key that a preset names, or that of OpenAI for OpenAI. */
function keyOf({ url, keyVariable }: Options): {
  readonly key: string | undefined;
  readonly keyVariable: string | undefined;
} {
  const { protocol, host } = new URL(url);
  const isOpenAi = protocol === 'https:' && host === 'api.openai.com';
  const variable = keyVariable ?? (isOpenAi ? 'OPENAI_API_KEY' : undefined);
  const key = variable === undefined ? undefined : readKey(variable, url);
  if (keyVariable !== undefined && key === undefined)
    throw new ReasongenError({
      code: 'NO_KEY',
      message: `keyVariable names ${keyVariable}, which is not set`,
      place: url,
      hint: `set ${keyVariable} to the key, or leave keyVariable out where the endpoint wants none`,
    });
  return { key, keyVariable: variable };
}

function hasMore(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { username, password, search, hash } = new URL(url);
  return [username, password, search, hash].some((part) => part !== '');
}

async function judge(sample: Sample, endpoint: Endpoint, choice: Options, signal: AbortSignal): Promise<Score> {
  const picture = `data:image/png;base64,${(await encodePng(sample.image)).toString('base64')}`;
  const question = choice.instruction.replaceAll('{prompt}', () => sample.prompt);
  const { text, isCut } = await endpoint.ask(
    [
      { type: 'image_url', image_url: { url: picture } },
      { type: 'text', text: question },
    ],
    signal,
  );
  const value = isCut ? undefined : boxedScore(text);
  // An answer without a verdict is none: the guard on such answers sees it, and nothing is made up in its place.
  if (value === undefined)
    return {
      value: 0,
      why: isCut ? `the answer was cut off after ${choice.maxTokens} tokens: ${text}` : `no verdict in: ${text}`,
      unparsed: true,
    };
  return { value, why: text };
}

/** Results in the order of the items, `atOnce` under way at a time. The first failure ends all. */
async function inTurn<Item, Result>(
  items: readonly Item[],
  atOnce: number,
  signal: AbortSignal,
  work: (item: Item, signal: AbortSignal) => Promise<Result>,
): Promise<Result[]> {
  const failed = new AbortController();
  const given = AbortSignal.any([signal, failed.signal]);
  const results = new Array<Result>(items.length);
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++)
      results[index] = await work(items[index] as Item, given);
  };
  try {
    await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
  } catch (error) {
    failed.abort(error);
    throw error;
  }
  return results;
}
