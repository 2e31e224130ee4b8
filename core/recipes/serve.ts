/** Serves a model to programs that speak OpenAI's protocol, until it is told to stop. The room of the server is `core/serve`. */
import type { Plan, PlanContext, Recipe, RunContext, Smaller } from '../contracts/recipe.ts';
import { samplingOptions } from '../drawing/drawer.ts';
import { describeModel } from '../drawing/plan.ts';
import { changesOf, MemoryAccount, planningRun, smallerValues } from '../models/memory-accounting.ts';
import { narrowerStorages } from '../models/weights.ts';
import { storageOption, weightsInput } from '../models/weights.ts';
import { defineRecipe, z } from '../plugin.ts';
import { serveOptions } from '../serve/options.ts';
import { openServedModel } from '../serve/served-model.ts';
import { serverAccess, startServer } from '../serve/server.ts';

const options = z.strictObject({
  weights: weightsInput().describe(
    'run folder, checkpoint, published model (a folder, or hub:OWNER/NAME) or file of weights; random: seeded random weights, to measure a model without its files',
  ),
  ...storageOption,
  ...samplingOptions,
  ...serveOptions,
});

type Options = z.output<typeof options>;

export const serveRecipe = defineRecipe({
  name: 'serve',
  summary: 'answers and draws for programs that speak the protocol of OpenAI',
  options,
  needs: ['tokenizer', 'backbone'],
  create: (choice): Recipe => ({
    plan: (context) => planServe(context, choice),
    smaller: smaller(choice),
    run: (context) => runServe(context, choice),
  }),
});

async function planServe(context: PlanContext, choice: Options): Promise<Plan> {
  serverAccess(choice);
  const account = new MemoryAccount(context);
  const { answers, drawings } = await openServedModel(planningRun(context), choice, (purpose) => account.note(purpose));
  const { answerTokens, questionTokens, rationaleTokens } = choice;
  return account.plan([
    describeModel(context.backbone),
    ...(answers === undefined
      ? []
      : [
          `${choice.answers} answers at a time, of at most ${answerTokens} tokens to ${questionTokens} and ${answers.mostPictures} picture(s)`,
        ]),
    ...(drawings === undefined
      ? []
      : [`${choice.drawings} drawings at a time, with rationales of at most ${rationaleTokens} tokens`]),
  ]);
}

/** Fewer at a time, which changes no answer; then weights in fewer bits as well, which rounds them. */
function smaller(choice: Options): Smaller[] {
  const fewer = smallerValues(Math.max(choice.answers, choice.drawings)).map((most) => ({
    ...choice,
    answers: Math.min(choice.answers, most),
    drawings: Math.min(choice.drawings, most),
  }));
  const narrow = narrowerStorages(choice.storage).map((storage) => ({ ...choice, answers: 1, drawings: 1, storage }));
  return [...fewer, ...narrow].map((less) => ({
    change: changesOf(choice, less, ['storage', 'answers', 'drawings']),
    plan: (context) => planServe(context, less),
  }));
}

async function runServe(context: RunContext, choice: Options): Promise<void> {
  const { log, stop, write } = context;
  const model = await openServedModel(context, choice);
  try {
    const server = await startServer(context, model, choice);
    write(`${server.address}\n`);
    log.info(
      `"${choice.modelName}" ${[model.answers && 'answers', model.drawings && 'draws'].filter(Boolean).join(' and ')} at ${server.address}, until ^C`,
    );
    const failure = await new Promise<{ readonly error: unknown } | undefined>((resolve) => {
      stop.heard(() => resolve(undefined));
      model.onBroken((error) => resolve({ error }));
    });
    await server.stop();
    if (failure !== undefined) throw failure.error;
  } finally {
    await model.close();
  }
}
