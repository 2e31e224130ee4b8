/** Answers questions about pictures, turn by turn: every answer is part of what the next question follows. */
import { join } from 'node:path';
import type { Workspace } from '../autograd/workspace.ts';
import type { Weights } from '../contracts/backbone.ts';
import type { Plan, PlanContext, Recipe, RunContext } from '../contracts/recipe.ts';
import type { Tokenizer, Turn } from '../contracts/tokenizer.ts';
import { ReasongenError, exitCodes } from '../errors.ts';
import { disk, diskError } from '../io/disk.ts';
import { createSampler } from '../nn/sampler.ts';
import { defineRecipe, inputFile, z } from '../plugin.ts';
import { dimension, type Tensor } from '../tensor/tensor.ts';
import { MemoryAccount, planningRun } from '../models/memory-accounting.ts';
import { lookAt, readPicture, visionOf } from '../models/vision-input.ts';
import { openModel, type Uses } from '../models/open-model.ts';
import { describeModel } from '../drawing/plan.ts';
import { storageOption, weightsInput } from '../models/weights.ts';
import { appendFile } from '../io/files.ts';

const turn = z.strictObject({
  question: z.string().trim().min(1).describe('what is asked'),
  pictures: z.array(inputFile()).default([]).describe('the pictures it is about'),
  answer: z
    .string()
    .trim()
    .min(1)
    .optional()
    .describe('given instead of written: an example, or the beginning of a conversation'),
});

const options = z.strictObject({
  weights: weightsInput().describe(
    'run folder, checkpoint, published model (a folder, or hub:OWNER/NAME) or file of weights; random: seeded random weights, to measure a model without its files',
  ),
  turns: z.array(turn).default([]).describe('questions in their order, each with its pictures'),
  answerTokens: z.number().int().positive().default(512).describe('longest answer in tokens, its end included'),
  temperature: z.number().nonnegative().default(0).describe('temperature of answer tokens; 0 takes the likeliest'),
  topK: z.number().int().nonnegative().default(0).describe('keep the k likeliest tokens; 0 keeps all'),
  topP: z.number().gt(0).max(1).default(1).describe('keep the likeliest tokens up to this probability'),
  ...storageOption,
});

type Options = z.output<typeof options>;

/** One line for each turn: question, pictures, answer and what made it. */
const recordFile = 'answers.jsonl';

export const askRecipe = defineRecipe({
  name: 'ask',
  summary: 'answers questions about pictures',
  options,
  needs: ['tokenizer', 'backbone'],
  create: (choice): Recipe => {
    if (!choice.turns.some(({ answer }) => answer === undefined)) {
      throw new ReasongenError({
        code: 'NO_QUESTION',
        message: 'there is nothing to answer: no question was given',
        place: 'recipe.turns',
        hint: 'reasongen ask --image photo.png "What is this?", or recipe.turns: [{ question: ..., pictures: [...] }]',
        exitCode: exitCodes.badPreset,
      });
    }
    return { plan: (context) => planAsk(context, choice), run: (context) => runAsk(context, choice) };
  },
});

/** The longest prompt there will be: every answer as long as it may become. */
async function planAsk(context: PlanContext, choice: Options): Promise<Plan> {
  const account = new MemoryAccount(context);
  const run = planningRun(context);
  const { device, backbone, tokenizer } = run;
  const { parameters, workspace } = await openModel(run, choice, usesOf(choice));
  account.note('weights');
  const count = pictureCount(choice);
  const vision = count > 0 ? visionOf(backbone) : undefined;
  if (vision !== undefined) {
    const blank = {
      width: vision.imageSize,
      height: vision.imageSize,
      data: new Uint8Array(vision.imageSize ** 2 * 3),
    };
    await lookAt(
      workspace,
      vision,
      backbone.hiddenSize,
      parameters,
      Array.from({ length: count }, () => blank),
    );
  }
  account.note('pictures');
  const open = choice.turns.filter(({ answer }) => answer === undefined).length;
  const asked = choice.turns.map(({ question, pictures, answer }): Turn => ({
    question,
    pictures: pictures.length,
    answer: answer ?? '',
  }));
  const longest = conversationOf(tokenizer)(asked, vision?.tokens ?? 0).length + open * choice.answerTokens;
  const sampler = await createSampler({
    device,
    workspace,
    backbone,
    weights: parameters,
    rows: 1,
    promptBudget: longest,
    textBudget: choice.answerTokens,
    imageCount: 0,
    special: tokenizer.special,
  });
  account.note('sampler');
  const plan = account.plan([
    describeModel(backbone),
    `${open} question(s), ${count} picture(s)${vision === undefined ? '' : ` of ${vision.tokens} vectors`}, at most ${longest} tokens`,
  ]);
  sampler.close();
  return plan;
}

async function runAsk(context: RunContext, choice: Options): Promise<void> {
  const { backbone, directory, stop } = context;
  const record = join(directory.path, recordFile);
  // Left by a session that was stopped: the same questions are asked again.
  await disk.rm(record, { force: true });
  const vision = pictureCount(choice) > 0 ? visionOf(backbone) : undefined;
  // Read before the model is: a bad path should not cost a minute.
  const pictures =
    vision === undefined
      ? []
      : await Promise.all(choice.turns.flatMap((each) => each.pictures).map((path) => readPicture(path, vision)));
  const model = await openModel(context, choice, usesOf(choice));
  const { parameters, workspace, hash } = model;
  const features =
    vision === undefined ? undefined : await lookAt(workspace, vision, backbone.hiddenSize, parameters, pictures);
  const past: Turn[] = [];
  try {
    for (const { question, pictures: paths, answer } of choice.turns) {
      if (stop.requested) break;
      const asked = [...past, { question, pictures: paths.length, ...(answer !== undefined && { answer }) }];
      const given =
        answer === undefined
          ? await writeAnswer(context, choice, workspace, parameters, asked, features)
          : { text: answer, ended: true };
      past.push({ question, pictures: paths.length, answer: given.text });
      const { seed } = context;
      const line = {
        question,
        pictures: paths,
        answer: given.text,
        given: answer !== undefined,
        ended: given.ended,
        seed,
        model: hash,
        temperature: choice.temperature,
        topK: choice.topK,
        topP: choice.topP,
      };
      await appendFile(record, `${JSON.stringify(line)}\n`).catch((cause: unknown) => {
        throw diskError(cause, 'saving an answer', record);
      });
    }
  } finally {
    if (features !== undefined) context.device.destroyTensor(features);
    model.close();
  }
}

interface Answer {
  readonly text: string;
  /** False when it was cut off at `answerTokens`. */
  readonly ended: boolean;
}

/** Writes the answer to the last of the turns, to standard output as well while it comes. */
async function writeAnswer(
  context: RunContext,
  choice: Options,
  workspace: Workspace,
  weights: Weights,
  turns: readonly Turn[],
  features: Tensor | undefined,
): Promise<Answer> {
  const { device, backbone, tokenizer, log, seed } = context;
  const ids = conversationOf(tokenizer)(turns, backbone.vision?.tokens ?? 0);
  const sampler = await createSampler({
    device,
    workspace,
    backbone,
    weights,
    rows: 1,
    promptBudget: ids.length,
    textBudget: choice.answerTokens,
    imageCount: 0,
    special: tokenizer.special,
  });
  const { imagePlaceholder: placeholder } = tokenizer.special;
  const seen = turns.reduce((sum, { pictures }) => sum + pictures, 0) * (backbone.vision?.tokens ?? 0);
  const shown = new Stream(context.write);
  try {
    const [written] = await sampler.write({
      prompts: [ids],
      samplesPerPrompt: 1,
      // Of all pictures of the conversation, those up to this turn.
      ...(features !== undefined &&
        placeholder !== undefined &&
        seen > 0 && { features: { placeholder, values: { ...features, shape: [seen, dimension(features, 1)] } } }),
      seed,
      rowKeys: [turns.length],
      text: { temperature: choice.temperature, topK: choice.topK, topP: choice.topP },
      onText: (_sample, soFar) => shown.show(tokenizer.decode(soFar)),
    });
    if (written === undefined) throw new RangeError('the sampler wrote nothing');
    shown.end(tokenizer.decode(written.ids));
    if (!written.ended) log.warn(`the answer was cut off after ${choice.answerTokens} tokens (recipe.answerTokens)`);
    return { text: tokenizer.decode(written.ids).trim(), ended: written.ended };
  } finally {
    sampler.close();
  }
}

/** Text that grows, written piece by piece. */
class Stream {
  private readonly write: (text: string) => void;
  private written = '';

  constructor(write: (text: string) => void) {
    this.write = write;
  }

  show(text: string): void {
    // The bytes of a last character may not all be there yet.
    const whole = text.replace(/\uFFFD+$/, '');
    if (!whole.startsWith(this.written)) return;
    this.write(whole.slice(this.written.length));
    this.written = whole;
  }

  end(text: string): void {
    this.write(`${text.slice(text.startsWith(this.written) ? this.written.length : 0)}\n`);
  }
}

/** It writes, and looks where there is something to look at. */
function usesOf(choice: Options): Uses {
  return { text: true, image: false, looks: pictureCount(choice) > 0 };
}

function pictureCount({ turns }: Options): number {
  return turns.reduce((sum, { pictures }) => sum + pictures.length, 0);
}

function conversationOf(tokenizer: Tokenizer): NonNullable<Tokenizer['conversation']> {
  const { conversation } = tokenizer;
  if (conversation !== undefined) return conversation;
  throw new ReasongenError({
    code: 'CANNOT_CONVERSE',
    message: 'the layout of this tokenizer has no conversations',
    hint: "use the model's own tokenizer: tokenizer: { use: huggingface, file: FOLDER }",
    exitCode: exitCodes.badPreset,
  });
}
