/** Weights that look, opened for a component: those of the run as they are, as they began, or others. */
import type { Backbone, ParameterSpec, Weights } from '../contracts/backbone.ts';
import type { ImageTokenizer } from '../contracts/image-tokenizer.ts';
import type { RunningModel } from '../contracts/running-model.ts';
import type { Scope } from '../contracts/slots.ts';
import { ReasongenError } from '../errors.ts';
import type { Device } from '../gpu/device.ts';
import { openProducts } from '../matrix-trial.ts';
import type { Precision } from '../gpu/matrix-products.ts';
import { inputFile } from '../preset/input-file.ts';
import { z } from '../preset/zod.ts';
import { copyToHost, type HostCopy } from '../weights/host-copy.ts';
import type { ParameterSet } from '../weights/parameters.ts';
import {
  Answerer,
  type AnswererOptions,
  type AnswererWork,
  type ChoiceQuestion,
  type WrittenQuestion,
} from './answerer.ts';
import { Gathered } from './gathered.ts';
import type { Looker, Written } from './looker.ts';
import { precisionOption } from './precision.ts';
import { Seat, type Seated } from './seat.ts';
import { visionOf } from './vision-input.ts';
import { openBase, storageOption, type WeightsContext } from './weights.ts';

/** Weights of the run, by what they are called in a preset. */
export const ownModels = ['policy', 'start'] as const;

/** How questions are answered, whoever's model it is. */
export const answeringOptions = {
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
    .describe('how keys and values are kept while questions are answered; f16 halves their memory and rounds them'),
  ...storageOption,
  ...precisionOption,
};

/** Options of a component that answers questions with the model of the run, or another of its sizes. */
export const answererOptions = {
  model: inputFile(ownModels)
    .default('start')
    .describe(
      'whose eyes: start, the weights the run began with, which stay as they are; policy, those that are trained, as they are when it is asked; or a run, checkpoint, published model or file of weights of the same sizes',
    ),
  ...answeringOptions,
};

export interface AnswererChoice extends Pick<
  AnswererOptions,
  'questionTokens' | 'answerTokens' | 'attentionCache' | 'temperature'
> {
  /** One of `ownModels`, `evaluated` for what evaluations draw with, or a path. */
  readonly model: string;
  readonly batch: number;
  /** Whether it is on the device only while it is asked, and in the memory of the host between. */
  readonly swaps?: boolean;
  readonly storage: z.output<(typeof storageOption)['storage']>;
  /** How products with its weights are computed, those of the part that looks, too. */
  readonly precision: Precision;
}

/** What reads text and pictures. */
type Parts = Pick<WeightsContext, 'backbone' | 'tokenizer'> & { readonly imageTokenizer?: ImageTokenizer | undefined };

/** A model that looks, as a component has it: on the device from the first question on, asked about several pictures at a time. */
export class LookingModel implements Looker {
  private readonly seat: () => Promise<Seat>;
  private readonly weighed: Gathered<ChoiceQuestion, number[]>;
  private readonly written: Gathered<WrittenQuestion, Written>;

  /** @param parts what reads with the weights; backbone and tokenizer of the run unless told */
  constructor(scope: Scope, choice: AnswererChoice, parts: () => Promise<Parts> = () => partsOfRun(scope)) {
    this.seat = scope.onDevice(
      (device) => seatOf(scope, device, choice, parts),
      (seat) => seat.close(),
    );
    const turns = { last: Promise.resolve() };
    // Whoever asked may be gone before it is answered: the work itself keeps the model where it is.
    this.weighed = new Gathered(choice.batch, turns, (asked) =>
      this.seated((answerer) => answerer.probabilities(asked)),
    );
    this.written = new Gathered(choice.batch, turns, (asked) => this.seated((answerer) => answerer.write(asked)));
  }

  /** What has been computed since the model came to the device. */
  work(): Promise<AnswererWork> {
    return this.seated(async ({ work }) => work);
  }

  /** Throws NO_MODEL where the weights are the run's, and it has none; CANNOT_LOOK; CANNOT_CONVERSE. */
  reserve(): Promise<void> {
    return this.seated(async () => undefined);
  }

  probabilities(question: ChoiceQuestion, signal: AbortSignal): Promise<readonly number[]> {
    return this.asked(question, () => this.weighed.ask(question, signal));
  }

  write(question: WrittenQuestion, signal: AbortSignal): Promise<Written> {
    return this.asked(question, () => this.written.ask(question, signal));
  }

  async rest(): Promise<void> {
    await (await this.seat()).rest();
  }

  private asked<Answer>(question: WrittenQuestion, ask: () => Promise<Answer>): Promise<Answer> {
    return this.seated((answerer) => {
      answerer.refuseTooLong(question);
      return ask();
    });
  }

  private async seated<Result>(work: (answerer: Answerer) => Promise<Result>): Promise<Result> {
    return (await this.seat()).during(work);
  }
}

function seatOf(scope: Scope, device: Device, choice: AnswererChoice, parts: () => Promise<Parts>): Seat {
  return new Seat({
    device,
    make: async (kept) => openAnswerer(scope, device, choice, await parts(), kept),
    makeRoom: choice.swaps === true ? () => roomOf(scope, device) : undefined,
  });
}

/** What the run's own programs work in goes while a model is there that swaps; a plan takes it again, so that it counts everything. */
async function roomOf(scope: Scope, device: Device): Promise<() => void> {
  const takeAgain = (await runningModel(scope))?.rest?.();
  return device.isPlanning && takeAgain !== undefined ? takeAgain : () => undefined;
}

/** Undefined where a run has none. */
async function runningModel(scope: Scope): Promise<RunningModel | undefined> {
  try {
    return await scope.model();
  } catch (error) {
    if (error instanceof ReasongenError && error.code === 'NO_MODEL') return undefined;
    throw error;
  }
}

async function partsOfRun(scope: Scope): Promise<Parts> {
  const [backbone, tokenizer] = [await scope.get('backbone'), await scope.get('tokenizer')];
  const [imageTokenizer] = await scope.getAll('imageTokenizer');
  return { backbone, tokenizer, imageTokenizer };
}

async function openAnswerer(
  scope: Scope,
  device: Device,
  choice: AnswererChoice,
  parts: Parts,
  kept: HostCopy | undefined,
): Promise<Seated> {
  const { backbone, tokenizer } = parts;
  const context = contextOf(scope, device, parts);
  const { weights, own, specs, isFixed } = await weightsOf(scope, context, backbone, choice, kept);
  const { questionTokens, answerTokens, attentionCache, batch, temperature = 0 } = choice;
  const sizes = { atOnce: batch, questionTokens, answerTokens, attentionCache, temperature };
  // One that swaps says how its products are computed when it comes first, not whenever it comes back.
  const products = await openProducts(device, choice.precision, kept === undefined ? scope.log : undefined);
  const answerer = await Answerer.open({ device, products, backbone, tokenizer, weights, isFixed, ...sizes });
  return {
    answerer,
    keep: () => copyToHost(own, specs, choice.storage),
    async close() {
      await answerer.close();
      products?.close();
      own.close();
    },
  };
}

interface FoundWeights {
  readonly weights: Weights;
  /** What of them is not the run's. */
  readonly own: ParameterSet;
  readonly specs: readonly ParameterSpec[];
  readonly isFixed: boolean;
}

/** What is not in the run's own memory is opened: at least the part that looks, which no run trains. */
async function weightsOf(
  scope: Scope,
  context: WeightsContext,
  backbone: Backbone,
  { model, storage }: AnswererChoice,
  kept: HostCopy | undefined,
): Promise<FoundWeights> {
  const looking = visionOf(backbone).parameters;
  const open = async (specs: readonly ParameterSpec[], from: string | undefined): Promise<ParameterSet> =>
    kept?.restore(context.device) ?? (await openBase(context, specs, { weights: from, storage })).parameters;
  const unread = new Set(backbone.imageOnly);
  const whole = [...backbone.parameters.filter(({ name }) => !unread.has(name)), ...looking];
  if (model !== 'evaluated' && !ownModels.some((word) => word === model)) {
    const own = await open(whole, model);
    return { weights: own, own, specs: whole, isFixed: true };
  }
  const running = await scope.model();
  const { weights: policy, evaluated = policy, start } = running;
  const shared = model === 'policy' ? policy : model === 'evaluated' ? evaluated : start;
  if (shared === undefined) {
    const own = await open(whole, running.begunWith);
    return { weights: own, own, specs: whole, isFixed: true };
  }
  const own = await open(looking, running.begunWith);
  const names = new Set(looking.map(({ name }) => name));
  const weights = { get: (name: string) => (names.has(name) ? own : shared).get(name) };
  return { weights, own, specs: looking, isFixed: model === 'start' };
}

function contextOf({ log, seed }: Scope, device: Device, parts: Parts): WeightsContext {
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
