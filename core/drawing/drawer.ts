/** Prompts in, judged-ready samples out: the sampler with text and pictures on both sides. */
import type { Workspace } from '../autograd/workspace.ts';
import type { Weights } from '../contracts/backbone.ts';
import { placeOfBest, type Choosing } from './best-of.ts';
import type { PromptItem } from '../contracts/dataset.ts';
import type { RunContext } from '../contracts/recipe.ts';
import type { Phase, Sample } from '../contracts/reward.ts';
import { ReasongenError, exitCodes } from '../errors.ts';
import type { DrawRequest, DrawSizes, SequenceDrawer } from '../contracts/executor.ts';
import type { OperandCounts, Precision } from '../gpu/matrix-products.ts';
import type { SampledSequence, SampleProgress } from '../nn/sampler.ts';
import { precisionOption } from '../models/precision.ts';
import { z } from '../preset/zod.ts';
import { shareWeights } from '../weights/exchange.ts';
import { drawIdentity } from './identity.ts';
import { openLocalDrawer } from './local.ts';

/** How tokens are drawn; the same words mean the same thing in the sampler and in the scorer. */
export const samplingOptions = {
  rationale: z.boolean().default(true).describe('write a rationale before drawing; false draws at once'),
  rationaleTokens: z.number().int().positive().default(44).describe('longest rationale, image start included'),
  textTemperature: z
    .number()
    .nonnegative()
    .default(1)
    .describe('temperature of rationale tokens; 0 takes the likeliest'),
  textTopK: z.number().int().nonnegative().default(0).describe('keep the k likeliest rationale tokens; 0 keeps all'),
  textTopP: z.number().gt(0).max(1).default(1).describe('keep the likeliest rationale tokens up to this probability'),
  imageTemperature: z.number().nonnegative().default(0.7).describe('temperature of image codes; 0 takes the likeliest'),
  imageTopK: z.number().int().nonnegative().default(0).describe('keep the k likeliest image codes; 0 keeps all'),
  imageTopP: z.number().gt(0).max(1).default(1).describe('keep the likeliest image codes up to this probability'),
  cache: z
    .enum(['f32', 'f16'])
    .default('f32')
    .describe('how keys and values of earlier tokens are kept; f16 halves their memory and rounds them'),
  guidance: z.number().positive().default(1).describe('classifier-free guidance weight on image codes; 1 is off'),
  ...precisionOption,
};

export type Sampling = { readonly [Name in keyof typeof samplingOptions]: z.output<(typeof samplingOptions)[Name]> };

/** The sampling options of a recipe without its other options: what a drawing depends on beside weights, prompt and seed. */
export function samplingOf(options: Sampling): Sampling {
  const names = Object.keys(samplingOptions) as (keyof Sampling)[];
  return Object.fromEntries(names.map((name) => [name, options[name]])) as Sampling;
}

/** A prompt, with the rationale to draw it by unless the model shall write one. */
export interface DrawItem extends PromptItem {
  readonly rationale?: string;
}

/** What drawings are made for: the beginning of their ids, and what judges are told of them. */
export interface DrawPurpose {
  readonly label: string;
  readonly step: number;
  readonly phase: Phase;
}

/** Of pictures that wait for their turn. */
const mostBytesAhead = 2 ** 30;

/** Row keys are 32 bits wide: 65536 prompts of up to 65536 samples. */
const keysPerPrompt = 2 ** 16;

export interface Drawing {
  readonly sample: Sample;
  readonly sequence: SampledSequence;
  /** Of the best of several: what was said of each of them. */
  readonly chosenFrom?: readonly (number | undefined)[];
}

export interface DrawerOptions {
  readonly sampling: Sampling;
  /** Pictures drawn at once: prompts × samples per prompt. */
  readonly prompts: number;
  readonly samplesPerPrompt: number;
  /** Longest prompt in tokens, special tokens included. */
  readonly promptTokens: number;
  /** Of products, where it is not that of `sampling`. */
  readonly precision?: Precision;
  /** Draws so many for each that is kept. */
  readonly choosing?: Choosing | undefined;
}

export class Drawer {
  private readonly context: RunContext;
  private readonly options: DrawerOptions;
  private readonly sequences: SequenceDrawer;
  /** The pictures of the call before. */
  private decoded: Promise<unknown> = Promise.resolve();
  /** What was begun before it is needed, by its request. */
  private readonly begun = new Map<string, () => Promise<SampledSequence[] | undefined>>();

  private constructor(context: RunContext, options: DrawerOptions, sequences: SequenceDrawer) {
    this.context = context;
    this.options = options;
    this.sequences = sequences;
  }

  /** Whatever computes the sequences, the device of the run could: a plan counts the same, and what others have drawn can be looked at. */
  static async open(
    context: RunContext,
    weights: Weights,
    workspace: Workspace,
    options: DrawerOptions,
  ): Promise<Drawer> {
    const { device, backbone, tokenizer, imageTokenizer, executor, log } = context;
    const sizes = sizesOf(options, imageTokenizer.grid.rows * imageTokenizer.grid.columns);
    const local = await openLocalDrawer({ workspace, backbone, weights, tokenizer, log }, sizes);
    if (device.isPlanning) return new Drawer(context, options, local);
    const sequences = await executor.open({
      identity: drawIdentity(device, backbone, tokenizer),
      sizes,
      vocabulary: { text: backbone.textVocabulary, image: backbone.imageVocabulary },
      weights: shareWeights(device, backbone, weights),
      local,
      run: context.directory.path,
      signal: context.signal,
    });
    return new Drawer(context, options, sequences);
  }

  /** Calls of `draw` that may be under way at a time; each of as many prompts as are drawn at once. */
  get atOnce(): number {
    return this.sequences.atOnce ?? 1;
  }

  /** The same for who looks at pictures one share after the other: no more than fit the memory of the process well. */
  get sharesAhead(): number {
    const { width, height } = this.context.imageTokenizer.imageSize;
    const { prompts, samplesPerPrompt } = this.options;
    return Math.max(
      1,
      Math.min(this.atOnce, Math.floor(mostBytesAhead / (prompts * samplesPerPrompt * width * height * 3))),
    );
  }

  /** What was lost of the values that drawing multiplied since it was asked last; undefined where nothing is on tensor cores of this device. */
  takeCounts(): Promise<OperandCounts> | undefined {
    return this.sequences.takeCounts?.();
  }

  /** Prompts drawn at once. */
  get prompts(): number {
    return this.options.prompts;
  }

  /** Throws PROMPT_TOO_LONG: better known before hours of drawing than in their midst. */
  refuseTooLong(items: readonly DrawItem[]): void {
    for (const item of items) this.promptOf(item);
  }

  /**
   * Draws every prompt `samplesPerPrompt` times, neighbors belonging together. Fewer prompts than planned are allowed.
   * `first` is the number of the first prompt in the caller's count: a drawing depends on the seed, that number and its place
   * among the samples of its prompt, never on how many are drawn at once. `onProgress` is told every few tokens.
   */
  async draw(
    items: readonly DrawItem[],
    seed: number,
    purpose: DrawPurpose,
    first = 0,
    onProgress?: (progress: SampleProgress) => void,
  ): Promise<Drawing[]> {
    const drawings: Drawing[] = [];
    for (let start = 0; start < items.length; start += this.options.prompts) {
      drawings.push(
        ...(await this.drawOnce(
          items.slice(start, start + this.options.prompts),
          seed,
          purpose,
          first + start,
          onProgress,
        )),
      );
    }
    return drawings;
  }

  /**
   * Begins what `draw` will be asked for with the same arguments, with the weights as they are now, and resolves when they may change. Where the
   * executor cannot draw while something else goes on it is drawn at once.
   */
  async ahead(items: readonly DrawItem[], seed: number, first = 0): Promise<void> {
    for (let start = 0; start < items.length; start += this.options.prompts) {
      const request = this.requestOf(items.slice(start, start + this.options.prompts), seed, first + start);
      const begun = await this.sequences.ahead?.(request);
      if (begun !== undefined) this.begun.set(JSON.stringify(request), begun);
      else {
        const drawn = await this.sequences.draw(request);
        this.begun.set(JSON.stringify(request), () => Promise.resolve(drawn));
      }
    }
  }

  /** Takes nothing of a worker any more that draws otherwise than it says. */
  async refuse(worker: string, why: string): Promise<void> {
    await this.sequences.refuse?.(worker, why);
  }

  close(): void {
    this.sequences.close();
  }

  private promptOf({ prompt }: DrawItem): number[] {
    const { sampling, promptTokens } = this.options;
    const ids = this.context.tokenizer.prompt(prompt, sampling.rationale ? 'rationale' : 'direct');
    if (ids.length > promptTokens) throw promptTooLong(prompt, ids.length, promptTokens);
    return ids;
  }

  private requestOf(items: readonly DrawItem[], seed: number, first: number): DrawRequest {
    const { tokenizer } = this.context;
    const { sampling, choosing } = this.options;
    const samplesPerPrompt = this.options.samplesPerPrompt * (choosing?.count ?? 1);
    return {
      prompts: items.map((item) => this.promptOf(item)),
      samplesPerPrompt,
      seed,
      rowKeys: items.flatMap((_, index) =>
        Array.from({ length: samplesPerPrompt }, (_each, sample) => (first + index) * keysPerPrompt + sample),
      ),
      text: { temperature: sampling.textTemperature, topK: sampling.textTopK, topP: sampling.textTopP },
      image: {
        temperature: sampling.imageTemperature,
        topK: sampling.imageTopK,
        topP: sampling.imageTopP,
        guidance: sampling.guidance,
      },
      rationale: sampling.rationale
        ? items.map(({ rationale }) => (rationale === undefined ? 'write' : tokenizer.encode(rationale)))
        : 'skip',
    };
  }

  private async takeBegun(request: DrawRequest): Promise<SampledSequence[] | undefined> {
    if (this.begun.size === 0) return undefined;
    const key = JSON.stringify(request);
    const begun = this.begun.get(key);
    this.begun.delete(key);
    return begun?.();
  }

  private async drawOnce(
    items: readonly DrawItem[],
    seed: number,
    purpose: DrawPurpose,
    first: number,
    onProgress?: (progress: SampleProgress) => void,
  ): Promise<Drawing[]> {
    const { tokenizer, imageTokenizer } = this.context;
    const { choosing } = this.options;
    const samplesPerPrompt = this.options.samplesPerPrompt * (choosing?.count ?? 1);
    const request = this.requestOf(items, seed, first);
    const sequences = (await this.takeBegun(request)) ?? (await this.sequences.draw(request, onProgress));
    // One after the other, whatever is drawn meanwhile.
    const decoded = this.decoded.then(() => imageTokenizer.decode(sequences.map(({ codes }) => codes)));
    this.decoded = decoded.catch(() => undefined);
    const images = await decoded;
    const drawings = sequences.map((sequence, index): Drawing => {
      const item = items[Math.floor(index / samplesPerPrompt)];
      const image = images[index];
      if (item === undefined || image === undefined) throw new RangeError(`drawing ${index} has no prompt or no image`);
      const sample: Sample = {
        id: `${purpose.label}-${first * samplesPerPrompt + index}`,
        ...item,
        group: first + Math.floor(index / samplesPerPrompt),
        copy: index % samplesPerPrompt,
        step: purpose.step,
        phase: purpose.phase,
        rationale: tokenizer.decode(sequence.rationaleIds).trim(),
        rationaleEnded: sequence.rationaleEnded,
        image,
        codes: sequence.codes,
      };
      return { sample, sequence };
    });
    return choosing === undefined ? drawings : this.choose(drawings, choosing, purpose, first);
  }

  /** Of every so many neighbors the best, numbered as what is kept. */
  private async choose(
    drawings: readonly Drawing[],
    choosing: Choosing,
    purpose: DrawPurpose,
    first: number,
  ): Promise<Drawing[]> {
    const { samplesPerPrompt } = this.options;
    const scores = await choosing.score(drawings.map(({ sample }) => sample));
    return Array.from({ length: drawings.length / choosing.count }, (_, index): Drawing => {
      const chosenFrom = scores.slice(index * choosing.count, (index + 1) * choosing.count);
      const drawing = drawings[index * choosing.count + placeOfBest(chosenFrom)];
      if (drawing === undefined) throw new RangeError(`there is no drawing to choose for ${index}`);
      const sample = {
        ...drawing.sample,
        id: `${purpose.label}-${first * samplesPerPrompt + index}`,
        copy: index % samplesPerPrompt,
      };
      return { ...drawing, sample, chosenFrom };
    });
  }
}

function sizesOf(
  { sampling, precision = sampling.precision, prompts, samplesPerPrompt, promptTokens, choosing }: DrawerOptions,
  codes: number,
): DrawSizes {
  return {
    rows: prompts * samplesPerPrompt * (choosing?.count ?? 1),
    prompts,
    promptTokens,
    textTokens: sampling.rationale ? sampling.rationaleTokens : 0,
    codes,
    isGuided: sampling.guidance !== 1,
    cache: sampling.cache,
    precision,
  };
}

function promptTooLong(prompt: string, length: number, limit: number): ReasongenError {
  return new ReasongenError({
    code: 'PROMPT_TOO_LONG',
    message: `the prompt "${prompt.length > 80 ? `${prompt.slice(0, 77)}...` : prompt}" has ${length} tokens with its frame; this run takes ${limit}`,
    hint: 'shorten the prompt, or raise promptTokens in the recipe',
    exitCode: exitCodes.badPreset,
  });
}
