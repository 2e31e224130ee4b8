/** The model of the run looks at what was drawn and answers questions about it, on the device: no server. */
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { answererOptions, inputHash, lookerAsker, LookingModel, ownModels } from '../../core/compute.ts';
import {
  askerJudge,
  defineJudge,
  definePlugin,
  definePointwiseReward,
  directCalls,
  questionOptions,
  verdictByQuestions,
  z,
} from '../../core/plugin.ts';

const answerTokens = z
  .number()
  .int()
  .nonnegative()
  .default(256)
  .describe('longest written answer in tokens; 0: none is written, and only what can be told by first tokens is asked');

const judgeOptions = z.strictObject({ ...answererOptions, answerTokens });

const rewardOptions = z
  .strictObject({ ...questionOptions, ...answererOptions, answerTokens })
  .refine(({ mode, answerTokens: tokens }) => mode !== 'boxed' || tokens > 0, {
    message: 'a boxed verdict is written: it needs answerTokens above 0',
  });

type ModelOptions = z.output<typeof judgeOptions>;

export default definePlugin({
  name: 'self-judge',
  provides: [
    defineJudge({
      name: 'self-judge',
      summary: "the run's own model, or another checkpoint of it, answers questions about pictures on the device",
      options: judgeOptions,
      needs: ['backbone', 'tokenizer'],
      create: async (choice, scope) => {
        const model = new LookingModel(scope, choice);
        return askerJudge(lookerAsker(model, directCalls), {
          title: titleOf(choice),
          fingerprint: await fingerprintOf(choice),
          // What the weights of a run are is not known before they are there, and those that are trained change.
          ...(isOwn(choice) && { changes: true as const }),
          reserve: () => model.reserve(),
          writes: choice.answerTokens > 0,
        });
      },
    }),
    definePointwiseReward({
      name: 'self-judge',
      summary: "the run's own model says whether the picture matches the prompt: boxed, graded, or by single questions",
      options: rewardOptions,
      needs: ['backbone', 'tokenizer'],
      create: (choice, scope) => {
        const model = new LookingModel(scope, choice);
        const asker = lookerAsker(model, scope.calls);
        const asked = { ...choice, votes: 1, maxTokens: choice.answerTokens };
        return {
          judgesBenchmarks: true,
          reserve: () => model.reserve(),
          score: (sample, signal) => verdictByQuestions(sample, asker, asked, signal),
        };
      },
    }),
  ],
});

/** Whether it looks with weights of the run. */
function isOwn({ model }: ModelOptions): boolean {
  return ownModels.some((word) => word === model);
}

function titleOf(choice: ModelOptions): string {
  const { model } = choice;
  if (!isOwn(choice)) return basename(model);
  return model === 'policy' ? 'the policy itself' : 'the model as it began';
}

async function fingerprintOf(choice: ModelOptions): Promise<Record<string, string>> {
  const { model, storage, precision, attentionCache, answerTokens: longest } = choice;
  // What an earlier stage has yet to make is there when the run begins.
  const weights = isOwn(choice) || !existsSync(model) ? model : await inputHash(model);
  return { weights, storage, precision, attentionCache, answerTokens: String(longest) };
}
