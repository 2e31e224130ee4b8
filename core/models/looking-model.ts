/** Weights that look, opened for a component: those of the run as they are, as they began, or others. */
import type { Backbone, ParameterSpec, Weights } from '../contracts/backbone.ts';
import type { ImageTokenizer } from '../contracts/image-tokenizer.ts';
import type { Scope } from '../contracts/slots.ts';
import type { Tokenizer } from '../contracts/tokenizer.ts';
import type { Device } from '../gpu/device.ts';
import { inputFile } from '../preset/input-file.ts';
import { z } from '../preset/zod.ts';
import type { ParameterSet } from '../weights/parameters.ts';
import { Answerer, type AnswererOptions, type ChoiceQuestion, type PictureQuestion } from './answerer.ts';
import { Gathered } from './gathered.ts';
import { visionOf } from './vision-input.ts';
import { openBase, storageOption, type WeightsContext } from './weights.ts';

/** Weights of the run, by what they are called in a preset. */
export const ownModels = ['policy', 'start'] as const;

/** Options of a component that answers questions with a model. */
export const answererOptions = {
  model: inputFile(ownModels)
    .default('start')
    .describe(
      'whose eyes: start, the weights the run began with, which stay as they are; policy, those that are trained, as they are when it is asked; or a run, checkpoint, published model or file of weights of the same sizes',
    ),
  batch: z
    .number()
    .int()
    .positive()
    .default(8)
    .describe(
      'questions that are answered at a time; no more than `atOnce` of the same entry, 8 unless told, are there',
    ),
  questionTokens: z
    .number()
    .int()
    .positive()
    .default(512)
    .describe('longest question in tokens, its layout included, its picture not'),
  attentionCache: z
    .enum(['f32', 'f16'])
    .default('f32')
    .describe('how keys and values are kept while an answer is written; f16 halves their memory and rounds them'),
  ...storageOption,
};

export interface AnswererChoice extends Pick<AnswererOptions, 'questionTokens' | 'answerTokens' | 'attentionCache'> {
  /** One of `ownModels`, `evaluated` for what evaluations draw with, or a path. */
  readonly model: string;
  readonly batch: number;
  readonly storage: z.output<(typeof storageOption)['storage']>;
}

/** A model that looks, as a component has it: on the device from the first question on, asked about several pictures at a time. */
export class LookingModel {
  private readonly open: () => Promise<Opened>;
  private readonly weighed: Gathered<ChoiceQuestion, number[]>;
  private readonly written: Gathered<PictureQuestion, Written>;

  constructor(scope: Scope, choice: AnswererChoice) {
    this.open = scope.onDevice(
      (device) => openAnswerer(scope, device, choice),
      ({ close }) => close(),
    );
    const turns = { last: Promise.resolve() };
    this.weighed = new Gathered(choice.batch, turns, async (asked) =>
      (await this.open()).answerer.probabilities(asked),
    );
    this.written = new Gathered(choice.batch, turns, async (asked) => (await this.open()).answerer.write(asked));
  }

  /** Makes everything it will need. Throws NO_MODEL where the weights are the run's, and it has none; CANNOT_LOOK; CANNOT_CONVERSE. */
  async reserve(): Promise<void> {
    await this.open();
  }

  /** How likely the answer begins with each of the sets of spellings. Throws QUESTION_TOO_LONG. */
  async probabilities(question: ChoiceQuestion, signal: AbortSignal): Promise<readonly number[]> {
    (await this.open()).answerer.refuseTooLong(question);
    return this.weighed.ask(question, signal);
  }

  /** The likeliest answer. Throws QUESTION_TOO_LONG. */
  async write(question: PictureQuestion, signal: AbortSignal): Promise<Written> {
    (await this.open()).answerer.refuseTooLong(question);
    return this.written.ask(question, signal);
  }
}

/** A written answer; `ended`: whether the model ended it, and not the budget. */
export interface Written {
  readonly text: string;
  readonly ended: boolean;
}

interface Opened {
  readonly answerer: Answerer;
  readonly close: () => Promise<void>;
}

async function openAnswerer(scope: Scope, device: Device, choice: AnswererChoice): Promise<Opened> {
  const [backbone, tokenizer] = [await scope.get('backbone'), await scope.get('tokenizer')];
  const [imageTokenizer] = await scope.getAll('imageTokenizer');
  const context = contextOf(scope, device, { backbone, tokenizer, imageTokenizer });
  const { weights, own } = await weightsOf(scope, context, backbone, choice);
  const { questionTokens, answerTokens, attentionCache, batch } = choice;
  const sizes = { atOnce: batch, questionTokens, answerTokens, attentionCache };
  const answerer = await Answerer.open({ device, backbone, tokenizer, weights, ...sizes });
  const close = async (): Promise<void> => {
    await answerer.close();
    own.close();
  };
  return { answerer, close };
}

/** What is not in the run's own memory is opened: at least the part that looks, which no run trains. */
async function weightsOf(
  scope: Scope,
  context: WeightsContext,
  backbone: Backbone,
  { model, storage }: AnswererChoice,
): Promise<{ readonly weights: Weights; readonly own: ParameterSet }> {
  const looking = visionOf(backbone).parameters;
  const open = async (specs: readonly ParameterSpec[], from: string | undefined): Promise<ParameterSet> =>
    (await openBase(context, specs, { weights: from, storage })).parameters;
  const unread = new Set(backbone.imageOnly);
  const whole = [...backbone.parameters.filter(({ name }) => !unread.has(name)), ...looking];
  if (model !== 'evaluated' && !ownModels.some((word) => word === model)) {
    const own = await open(whole, model);
    return { weights: own, own };
  }
  const running = await scope.model();
  const { weights: policy, evaluated = policy, start } = running;
  const shared = model === 'policy' ? policy : model === 'evaluated' ? evaluated : start;
  if (shared === undefined) {
    const own = await open(whole, running.begunWith);
    return { weights: own, own };
  }
  const own = await open(looking, running.begunWith);
  const names = new Set(looking.map(({ name }) => name));
  return { weights: { get: (name) => (names.has(name) ? own : shared).get(name) }, own };
}

function contextOf(
  { log, seed }: Scope,
  device: Device,
  parts: {
    readonly backbone: Backbone;
    readonly tokenizer: Tokenizer;
    readonly imageTokenizer: ImageTokenizer | undefined;
  },
): WeightsContext {
  const { backbone, tokenizer, imageTokenizer } = parts;
  return {
    device,
    seed,
    log,
    resume: false,
    backbone,
    tokenizer,
    get imageTokenizer(): ImageTokenizer {
      if (imageTokenizer === undefined) throw new RangeError('the run has no image tokenizer');
      return imageTokenizer;
    },
    has: (slot) =>
      slot === 'backbone' || slot === 'tokenizer' || (slot === 'imageTokenizer' && imageTokenizer !== undefined),
  };
}
