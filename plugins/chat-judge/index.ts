/** A vision-language model behind a chat endpoint as a judge: vLLM, llama.cpp, Ollama or any other that speaks the protocol of OpenAI's chat completions. */
import { encodePng } from '../../core/compute.ts';
import { definePlugin, defineReward, ReasongenError, z, type Sample, type Score } from '../../core/plugin.ts';
import { boxedScore, strictInstruction } from './answer.ts';

const options = z.strictObject({
  url: z.url().describe('address of the endpoint up to its version, e.g. http://localhost:8000/v1'),
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
  attempts: z.number().int().positive().default(3).describe('tries for a question before the run is stopped'),
  timeout: z.number().positive().default(120).describe('seconds a question may take'),
  keyVariable: z
    .string()
    .default('OPENAI_API_KEY')
    .describe('environment variable that holds the key, where the endpoint wants one'),
});

type Options = z.output<typeof options>;

/** What of an answer is read. */
const answerSchema = z.looseObject({
  choices: z
    .array(
      z.looseObject({ finish_reason: z.string().nullish(), message: z.looseObject({ content: z.string().nullish() }) }),
    )
    .min(1),
});

export default definePlugin({
  name: 'chat-judge',
  provides: [
    defineReward({
      name: 'chat-judge',
      summary: 'a vision-language model behind a chat endpoint says whether the picture matches the prompt',
      options,
      create: (choice) => ({
        score: (samples, signal) => inTurn(samples, choice.atOnce, (sample) => judge(sample, choice, signal)),
      }),
    }),
  ],
});

async function judge(sample: Sample, choice: Options, signal: AbortSignal): Promise<Score> {
  const { text, isCut } = await ask(sample, choice, signal);
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

async function ask(
  sample: Sample,
  choice: Options,
  signal: AbortSignal,
): Promise<{ readonly text: string; readonly isCut: boolean }> {
  const { url, model, instruction, maxTokens, temperature, attempts, timeout, keyVariable } = choice;
  const picture = `data:image/png;base64,${(await encodePng(sample.image)).toString('base64')}`;
  const content = [
    { type: 'image_url', image_url: { url: picture } },
    { type: 'text', text: instruction.replaceAll('{prompt}', () => sample.prompt) },
  ];
  const body = JSON.stringify({ model, max_tokens: maxTokens, temperature, messages: [{ role: 'user', content }] });
  const key = process.env[keyVariable];
  let failure = '';
  for (let attempt = 1; attempt <= attempts; attempt++) {
    signal.throwIfAborted();
    try {
      const response = await fetch(`${url.replace(/\/$/, '')}/chat/completions`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...(key !== undefined && key !== '' && { authorization: `Bearer ${key}` }),
        },
        body,
        signal: AbortSignal.any([signal, AbortSignal.timeout(timeout * 1000)]),
      });
      if (!response.ok)
        throw new Error(
          `it answered ${response.status} ${response.statusText}: ${(await response.text()).slice(0, 200)}`,
        );
      const [first] = answerSchema.parse(await response.json()).choices;
      return { text: first?.message.content ?? '', isCut: first?.finish_reason === 'length' };
    } catch (cause) {
      signal.throwIfAborted();
      failure =
        cause instanceof z.ZodError
          ? 'its answer is not one of a chat endpoint'
          : cause instanceof Error
            ? cause.cause instanceof Error
              ? cause.cause.message
              : cause.message
            : String(cause);
    }
  }
  throw new ReasongenError({
    code: 'JUDGE_UNREACHABLE',
    message: `the judge could not be asked in ${attempts} attempts: ${failure}`,
    place: url,
    hint: 'start the endpoint, check url, model and key, and resume the run',
  });
}

/** Results in the order of the items, `atOnce` under way at a time. The first failure ends all. */
async function inTurn<Item, Result>(
  items: readonly Item[],
  atOnce: number,
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results = new Array<Result>(items.length);
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++) results[index] = await work(items[index] as Item);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
  return results;
}
