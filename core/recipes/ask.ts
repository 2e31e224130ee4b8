/** Answers questions about pictures, turn by turn: every answer is part of what the next question follows. */
import { join } from 'node:path';
import type { Workspace } from '../autograd/workspace.ts';
import type { PictureSpan, Weights } from '../contracts/backbone.ts';
import type { Plan, PlanContext, Recipe, RunContext, Smaller } from '../contracts/recipe.ts';
import type { Tokenizer, Turn } from '../contracts/tokenizer.ts';
import { ReasongenError, exitCodes } from '../errors.ts';
import { disk } from '../io/disk.ts';
import { JsonLines } from '../io/json-lines.ts';
import { createSampler } from '../nn/sampler.ts';
import { openProducts } from '../matrix-trial.ts';
import { defineRecipe, inputFile, z } from '../plugin.ts';
import { dimension, type Tensor } from '../tensor/tensor.ts';
import { cannotConverse } from '../models/answerer.ts';
import { changesOf, MemoryAccount, planningRun } from '../models/memory-accounting.ts';
import { blankPicture, lookAt, readPicture, visionOf } from '../models/vision-input.ts';
import { precisionOption } from '../models/precision.ts';
import { openModel, type Uses } from '../models/open-model.ts';
import { describeModel } from '../drawing/plan.ts';
import { narrowerStorages, storageOption, weightsInput } from '../models/weights.ts';

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
  ...precisionOption,
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
    return {
      smaller: narrowerStorages(choice.storage).map((storage): Smaller => {
        const less = { ...choice, storage };
        return { change: changesOf(choice, less, ['storage']), plan: (context) => planAsk(context, less) };
      }),
      plan: (context) => planAsk(context, choice),
      run: (context) => runAsk(context, choice),
    };
  },
});

/** The longest prompt there will be: every answer as long as it may become. */
async function planAsk(context: PlanContext, choice: Options): Promise<Plan> {
  const account = new MemoryAccount(context);
  const run = planningRun(context);
  const { device, backbone, tokenizer } = run;
  const model = await openModel(run, choice, usesOf(choice));
  const { parameters } = model;
  account.note('weights');
  const workspace = model.workspace.with(await openProducts(device, choice.precision));
  const vision = pictureCount(choice) > 0 ? visionOf(backbone) : undefined;
  const places: PictureSpan[][] = choice.turns.map(() => []);
  if (vision !== undefined) {
    const blanks = await picturesOf(choice, (path) => blankPicture(path, vision));
    await lookAt(workspace, vision, parameters, blanks.flat());
    blanks.forEach((pictures, index) => (places[index] = pictures.map((picture) => vision.span(picture))));
  }
  account.note('pictures');
  const open = choice.turns.filter(({ answer }) => answer === undefined).length;
  const asked = choice.turns.map(({ question, answer }, index) => turnOf(question, places[index] ?? [], answer ?? ''));
  const longest = conversationOf(tokenizer)(asked).length + open * choice.answerTokens;
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
    `${open} question(s), ${describePictures(places.flat())}, at most ${longest} tokens`,
  ]);
  sampler.close();
  return plan;
}

async function runAsk(context: RunContext, choice: Options): Promise<void> {
  const { backbone, directory, stop } = context;
  const record = join(directory.path, recordFile);
  // Left by a session that was stopped: the same questions are asked again.
  await disk.rm(record, { force: true });
  const answers = await JsonLines.open(record, 'answers', () => true);
  const vision = pictureCount(choice) > 0 ? visionOf(backbone) : undefined;
  // Read before the model is: a bad path should not cost a minute.
  const pictures = vision === undefined ? [] : await picturesOf(choice, (path) => readPicture(path, vision));
  const model = await openModel(context, choice, usesOf(choice));
  const { parameters, hash } = model;
  const products = await openProducts(context.device, choice.precision, context.log);
  const workspace = model.workspace.with(products);
  const values = vision === undefined ? undefined : await lookAt(workspace, vision, parameters, pictures.flat());
  const places = pictures.map((each) => each.map((picture) => visionOf(backbone).span(picture)));
  const past: Turn[] = [];
  try {
    for (const [index, { question, pictures: paths, answer }] of choice.turns.entries()) {
      if (stop.requested) break;
      const own = places[index] ?? [];
      const seen = values === undefined ? undefined : { values, pictures: places.slice(0, index + 1).flat() };
      const given =
        answer === undefined
          ? await writeAnswer(context, choice, workspace, parameters, [...past, turnOf(question, own)], seen)
          : { text: answer, ended: true };
      past.push(turnOf(question, own, given.text));
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
      await answers.append(line);
    }
  } finally {
    if (values !== undefined) context.device.destroyTensor(values);
    products?.close();
    model.close();
  }
}

interface Answer {
  readonly text: string;
  /** False when it was cut off at `answerTokens`. */
  readonly ended: boolean;
}

/** The vectors of all pictures of a conversation, and of these pictures those up to a turn. */
interface Seen {
  readonly values: Tensor;
  readonly pictures: readonly PictureSpan[];
}

function firstVectors({ values, pictures }: Seen): Tensor {
  const count = pictures.reduce((sum, { vectors }) => sum + vectors, 0);
  return { ...values, shape: [count, dimension(values, 1)] };
}

/** Writes the answer to the last of the turns, to standard output as well while it comes. */
async function writeAnswer(
  context: RunContext,
  choice: Options,
  workspace: Workspace,
  weights: Weights,
  turns: readonly Turn[],
  seen: Seen | undefined,
): Promise<Answer> {
  const { device, backbone, tokenizer, log, seed } = context;
  const ids = conversationOf(tokenizer)(turns);
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
  const shown = new Stream(context.write);
  try {
    const [written] = await sampler.write({
      prompts: [ids],
      samplesPerPrompt: 1,
      ...(seen !== undefined &&
        seen.pictures.length > 0 &&
        placeholder !== undefined && {
          features: { placeholder, values: firstVectors(seen), pictures: [seen.pictures] },
        }),
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

function turnOf(question: string, pictures: readonly PictureSpan[], answer?: string): Turn {
  return { question, pictures: pictures.map(({ vectors }) => vectors), ...(answer !== undefined && { answer }) };
}

/** Something of every picture of each turn. */
function picturesOf<Result>({ turns }: Options, read: (path: string) => Promise<Result>): Promise<Result[][]> {
  return Promise.all(turns.map(({ pictures }) => Promise.all(pictures.map(read))));
}

function describePictures(pictures: readonly PictureSpan[]): string {
  const counts = [...new Set(pictures.map(({ vectors }) => vectors))].toSorted((a, b) => a - b);
  const [least, most = least] = [counts[0], counts.at(-1)];
  const vectors = least === undefined ? '' : ` of ${least === most ? least : `${least} to ${most}`} vectors`;
  return `${pictures.length} picture(s)${vectors}`;
}

function pictureCount({ turns }: Options): number {
  return turns.reduce((sum, { pictures }) => sum + pictures.length, 0);
}

function conversationOf(tokenizer: Tokenizer): NonNullable<Tokenizer['conversation']> {
  const { conversation } = tokenizer;
  if (conversation !== undefined) return conversation;
  throw cannotConverse();
}
