/** A published vision-language model as a judge on the program's own kernels: the contract of `chat-judge` without a server. */
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import {
  answeringOptions,
  inputHash,
  lookerAsker,
  lookerInProcess,
  LookingModel,
  shrunk,
  type Looker,
} from '../../core/compute.ts';
import {
  askerJudge,
  defineJudge,
  definePlugin,
  definePointwiseReward,
  directCalls,
  inputFile,
  questionOptions,
  verdictByQuestions,
  z,
  type Judge,
  type Scope,
} from '../../core/plugin.ts';

const pixels = () => z.number().int().positive().optional();

const modelOptions = {
  model: inputFile().describe(
    'folder of a published model that looks: hub:Qwen/Qwen2.5-VL-3B-Instruct, which `reasongen pull` fetches, or a path',
  ),
  minPixels: pixels().describe("pixels a picture is enlarged to at least; the model's own limit by default"),
  maxPixels: pixels().describe("pixels a picture is shrunk to at most; the model's own limit by default"),
  pictureSide: pixels().describe(
    'longest side in pixels of the picture that is shown, which is made smaller where it is larger; as it was drawn unless told',
  ),
  maxTokens: z
    .number()
    .int()
    .nonnegative()
    .default(1024)
    .describe('longest answer; 0: none is written, and only what can be told by first tokens is asked'),
  temperature: z.number().nonnegative().default(0).describe('of the answer; 0 is greedy'),
  ...answeringOptions,
  place: z
    .enum(['device', 'swap', 'process', 'worker'])
    .default('device')
    .describe(
      'device: beside the model of the run; swap: on the device only while it is asked and in the memory of the host between, and what training works in makes room for it; process: in a process of its own, so that it may have another adapter; worker: workers on the queue answer in place of the run (`reasongen worker --for judge`)',
    ),
  adapter: z
    .string()
    .min(1)
    .optional()
    .describe('place: process: a part of the name of the adapter it opens; the best one unless told'),
};

/** Checks that more than one option is about. */
const onlyElsewhere = {
  check: ({ place, adapter }: { readonly place: string; readonly adapter?: string | undefined }): boolean =>
    adapter === undefined || place === 'process',
  says: { message: 'only a judge in a process of its own may have another adapter: place: process', path: ['adapter'] },
};

const judgeOptions = z.strictObject(modelOptions).refine(onlyElsewhere.check, onlyElsewhere.says);

const rewardOptions = z
  .strictObject({
    ...questionOptions,
    votes: z
      .number()
      .int()
      .positive()
      .default(1)
      .describe('answers to the same question whose mean counts; more than one want a temperature above 0'),
    ...modelOptions,
  })
  .refine(({ mode, maxTokens }) => mode !== 'boxed' || maxTokens > 0, {
    message: 'a boxed verdict is written: it needs maxTokens above 0',
  })
  .refine(({ votes, temperature }) => votes === 1 || temperature > 0, {
    message: 'several votes want a temperature above 0: equal questions have equal answers otherwise',
  })
  .refine(onlyElsewhere.check, onlyElsewhere.says);

type ModelOptions = z.output<typeof judgeOptions>;

export default definePlugin({
  name: 'vlm-judge',
  provides: [
    defineJudge({
      name: 'vlm-judge',
      summary: 'a published vision-language model answers questions about pictures, and writes them, on the device',
      options: judgeOptions,
      create: async (choice, scope) => {
        const looker = lookerOf(choice, scope);
        return askerJudge(lookerAsker(looker, directCalls), {
          title: titleOf(choice),
          fingerprint: await fingerprintOf(choice),
          ...onDevice(looker),
          ...leftTo(choice),
          writes: choice.maxTokens > 0,
        });
      },
    }),
    definePointwiseReward({
      name: 'vlm-judge',
      summary:
        'a published vision-language model says on the device whether the picture matches the prompt: boxed, graded, or by single questions',
      options: rewardOptions,
      create: async (choice, scope) => {
        // A graded verdict is told by first tokens: it needs no room for more.
        const looker = lookerOf(choice.mode === 'graded' ? { ...choice, maxTokens: 0 } : choice, scope);
        const asker = lookerAsker(looker, scope.calls, await fingerprintOf(choice));
        return {
          judgesBenchmarks: true,
          ...onDevice(looker),
          ...leftTo(choice),
          score: (sample, signal) => verdictByQuestions(sample, asker, choice, signal),
        };
      },
    }),
  ],
});

/** How it comes to the device and, where it does not stay there, leaves it. */
function onDevice(looker: Looker): Pick<Judge, 'reserve' | 'rest'> {
  return {
    reserve: () => looker.reserve(),
    ...(looker.rest !== undefined && { rest: () => looker.rest?.() ?? Promise.resolve() }),
  };
}

/** A run asks workers, where it is theirs; there it is beside what they draw with. */
function leftTo({ place }: Pick<ModelOptions, 'place'>): { readonly byWorkers?: true } {
  return place === 'worker' ? { byWorkers: true } : {};
}

function lookerOf(choice: ModelOptions, scope: Scope): Looker {
  const { model, minPixels, maxPixels, pictureSide, place, adapter, ...rest } = choice;
  const pictures = {
    ...(minPixels !== undefined && { minPixels }),
    ...(maxPixels !== undefined && { maxPixels }),
  };
  const { batch, questionTokens, attentionCache, storage, precision, maxTokens: answerTokens, temperature } = rest;
  const answering = { model, batch, questionTokens, attentionCache, storage, precision, answerTokens, temperature };
  const here = (swaps: boolean): Looker => {
    const looking = new LookingModel(scope, { ...answering, swaps }, () => scope.published(model, pictures));
    return swaps ? looking : staying(looking);
  };
  const looker =
    place === 'process'
      ? lookerInProcess(scope, { choice: answering, pictures, seed: scope.seed, adapter }, () => here(false))
      : here(place === 'swap');
  if (pictureSide === undefined) return looker;
  return {
    ...staying(looker),
    ...(looker.rest !== undefined && { rest: () => looker.rest?.() ?? Promise.resolve() }),
    probabilities: (asked, signal) =>
      looker.probabilities({ ...asked, image: shrunk(asked.image, pictureSide) }, signal),
    write: ({ image, ...asked }, signal) =>
      looker.write({ ...asked, ...(image !== undefined && { image: shrunk(image, pictureSide) }) }, signal),
  };
}

/** One that does not come and go. */
function staying(looker: Looker): Looker {
  return {
    reserve: () => looker.reserve(),
    probabilities: (asked, signal) => looker.probabilities(asked, signal),
    write: (asked, signal) => looker.write(asked, signal),
  };
}

/** As its endpoint would call it, `Qwen/Qwen2.5-VL-3B-Instruct`; of a folder its name. What is stored in few bits is another model. */
function titleOf({ model, storage }: ModelOptions): string {
  const [, owner, name] = /models--(.+?)--([^/\\]+)[/\\]snapshots[/\\][^/\\]+[/\\]?$/.exec(model) ?? [];
  const title = owner === undefined ? basename(model) : `${owner}/${name}`;
  return storage === 'int8' || storage === 'int4' ? `${title} in ${storage}` : title;
}

/** What answers depend on beside picture and question. */
async function fingerprintOf(choice: ModelOptions): Promise<Record<string, string>> {
  const { model, storage, precision, attentionCache, maxTokens, temperature, pictureSide, minPixels, maxPixels } =
    choice;
  return {
    model: titleOf(choice),
    // What an earlier stage has yet to make is there when the run begins.
    weights: existsSync(model) ? await inputHash(model) : model,
    storage,
    precision,
    attentionCache,
    maxTokens: String(maxTokens),
    temperature: String(temperature),
    picture: [
      pictureSide === undefined ? 'as drawn' : `at most ${pictureSide} pixels a side`,
      ...(minPixels === undefined ? [] : [`at least ${minPixels} pixels`]),
      ...(maxPixels === undefined ? [] : [`at most ${maxPixels} pixels`]),
    ].join(', '),
  };
}
