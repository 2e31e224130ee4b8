/** A vision-language model behind a chat endpoint as a judge: vLLM, llama.cpp, Ollama or any other that speaks the protocol of OpenAI's chat completions. */
import {
  askerJudge,
  defineJudge,
  definePlugin,
  definePointwiseReward,
  directCalls,
  judgeAsker,
  judgeFor,
  keyFor,
  questionOptions,
  keyVariableOption,
  serverAddress,
  verdictByQuestions,
  z,
  type Asker,
  type Judge,
  type Scope,
} from '../../core/plugin.ts';
import { endpointAsker } from './asker.ts';
import { Endpoint } from './endpoint.ts';

const endpointOptions = {
  maxTokens: z.number().int().positive().default(1024).describe('longest answer'),
  temperature: z.number().nonnegative().default(0).describe('of the answer; 0 is greedy'),
  pictureSide: z
    .number()
    .int()
    .positive()
    .optional()
    .describe(
      'longest side in pixels of the picture that is sent, which is made smaller where it is larger; as it was drawn unless told',
    ),
  keyVariable: keyVariableOption,
};

const judgeOptions = z.strictObject({
  url: serverAddress.describe('address of the endpoint up to its version, e.g. http://localhost:8000/v1'),
  model: z.string().min(1).describe('name of the model, as the endpoint calls it'),
  ...endpointOptions,
});

const rewardOptions = z
  .strictObject({
    url: serverAddress.optional().describe('address of the endpoint up to its version, e.g. http://localhost:8000/v1'),
    model: z.string().min(1).optional().describe('name of the model, as the endpoint calls it'),
    judge: z
      .string()
      .min(1)
      .optional()
      .describe('name of a judge of the preset that answers instead of an endpoint of its own'),
    ...questionOptions,
    votes: z
      .number()
      .int()
      .positive()
      .default(1)
      .describe(
        'answers to the same question whose mean counts, where no probabilities are told; more than one want a temperature above 0',
      ),
    ...endpointOptions,
  })
  .refine(
    ({ url, model, judge }) =>
      (judge === undefined) === (url !== undefined && model !== undefined) &&
      (judge === undefined || (url ?? model) === undefined),
    {
      message: 'it needs either url and model of an endpoint, or the name of a judge',
    },
  )
  .refine(({ votes, temperature, judge }) => votes === 1 || (temperature > 0 && judge === undefined), {
    message:
      'several votes want an endpoint of its own and a temperature above 0: equal questions have equal answers otherwise',
  });

export type ChatRewardOptions = z.output<typeof rewardOptions>;
type EndpointOptions = z.output<typeof judgeOptions>;

export default definePlugin({
  name: 'chat-judge',
  provides: [
    definePointwiseReward({
      name: 'chat-judge',
      summary:
        'a vision-language model says whether the picture matches the prompt: boxed, graded, or by single questions',
      options: rewardOptions,
      create: async (choice, scope) => {
        const asker = await askerFor(choice, scope);
        return { judgesBenchmarks: true, score: (sample, signal) => verdictByQuestions(sample, asker, choice, signal) };
      },
    }),
    defineJudge({
      name: 'chat-judge',
      summary: 'a vision-language model behind a chat endpoint that answers questions about pictures, and writes them',
      options: judgeOptions,
      create: (choice, scope) => chatJudge(choice, scope),
    }),
  ],
});

async function askerFor(choice: ChatRewardOptions, scope: Scope): Promise<Asker> {
  const { url, model, judge } = choice;
  if (url === undefined || model === undefined) return judgeAsker(await judgeFor(scope, 'answer', judge));
  const own = { ...choice, url, model };
  return endpointAsker({
    endpoint: endpointOf(own, scope),
    calls: scope.calls,
    fingerprint: fingerprintOf(own),
    pictureSide: choice.pictureSide,
  });
}

/** Its answers are kept by the runtime, which calls it. */
function chatJudge(choice: EndpointOptions, scope: Scope): Judge {
  const asker = endpointAsker({
    endpoint: endpointOf(choice, scope),
    calls: directCalls,
    fingerprint: {},
    pictureSide: choice.pictureSide,
  });
  return askerJudge(asker, {
    title: choice.model,
    fingerprint: fingerprintOf(choice),
    writes: true,
    place: choice.url,
  });
}

function endpointOf(choice: EndpointOptions, { calls }: Scope): Endpoint {
  return new Endpoint({ ...choice, ...keyFor(choice.url, choice.keyVariable), spend: (tokens) => calls.spend(tokens) });
}

/** What answers depend on beside picture and question; the size that is sent is told with them. */
function fingerprintOf({ url, model, maxTokens, temperature, pictureSide }: EndpointOptions): Record<string, string> {
  return {
    url,
    model,
    maxTokens: String(maxTokens),
    temperature: String(temperature),
    picture: pictureSide === undefined ? 'as drawn' : `at most ${pictureSide} pixels a side`,
  };
}
