/** A model that looks answers questions about pictures, many at a time. An answer does not depend on what else is asked. */
import type { Backbone, PictureSpan, Vision, Weights } from '../contracts/backbone.ts';
import type { Image } from '../contracts/image.ts';
import type { Tokenizer } from '../contracts/tokenizer.ts';
import { Workspace } from '../autograd/workspace.ts';
import { ReasongenError, exitCodes } from '../errors.ts';
import type { Device, Scalar } from '../gpu/device.ts';
import { copyFeatures, placePictures, type PromptFeatures } from '../nn/features.ts';
import { packedShape } from '../nn/packed-shape.ts';
import { packSequences, roundUp, type PackedBatch, type Sequence } from '../nn/packing.ts';
import { createSampler, type Sampler } from '../nn/sampler.ts';
import { TokenPrograms } from '../nn/token-program.ts';
import { at } from '../tensor/at.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { firstTokens } from './first-tokens.ts';
import { Sight, visionOf } from './vision-input.ts';

/** A question about a picture, or about none. */
export interface PictureQuestion {
  readonly image?: Image;
  readonly question: string;
}

/** One with the answers that are weighed: every set holds spellings of one answer. */
export interface ChoiceQuestion extends PictureQuestion {
  readonly image: Image;
  readonly answers: readonly (readonly string[])[];
}

export interface AnswererOptions {
  readonly device: Device;
  readonly backbone: Backbone;
  readonly tokenizer: Tokenizer;
  /** Of the backbone and of its vision part; read at every pass. */
  readonly weights: Weights;
  /** Questions that are answered at a time. */
  readonly atOnce: number;
  /** Longest question in tokens, with its layout and without its picture. */
  readonly questionTokens: number;
  /** Longest written answer in tokens; 0 where none is ever written. */
  readonly answerTokens: number;
  readonly attentionCache: 'f32' | 'f16';
}

/** Targets that room is made for with each question; a question with more makes its program larger. */
const usualSpellings = 16;

export class Answerer {
  private readonly options: AnswererOptions;
  private readonly vision: Vision;
  private readonly conversation: NonNullable<Tokenizer['conversation']>;
  private readonly placeholder: number;
  private readonly parts: {
    readonly workspace: Workspace;
    readonly sight: Sight;
    /** For the pictures of a batch. */
    readonly room: Tensor;
    readonly programs: TokenPrograms;
    readonly temperature: Scalar;
    readonly sampler: Sampler | undefined;
  };

  private constructor(options: AnswererOptions, vision: Vision, parts: Answerer['parts']) {
    this.options = options;
    this.vision = vision;
    this.parts = parts;
    const { conversation, special } = options.tokenizer;
    if (conversation === undefined || special.imagePlaceholder === undefined) throw cannotConverse();
    this.conversation = conversation;
    this.placeholder = special.imagePlaceholder;
  }

  /** Makes everything that full batches of the longest questions take, so that memory does not grow later. Throws CANNOT_LOOK, CANNOT_CONVERSE. */
  static async open(options: AnswererOptions): Promise<Answerer> {
    const { device, backbone, tokenizer, weights, atOnce, questionTokens, answerTokens, attentionCache } = options;
    const vision = visionOf(backbone);
    if (tokenizer.conversation === undefined) throw cannotConverse();
    const workspace = new Workspace(device);
    const sight = new Sight(workspace, vision, weights);
    const room = await sight.reserve(atOnce);
    const { vectors } = vision.span(vision.largest);
    const temperature = device.scalar('temperature of answers', 1);
    const programs = new TokenPrograms({
      name: 'first token of an answer',
      workspace,
      backbone,
      parameters: weights,
      temperature: { text: temperature, image: temperature },
    });
    const counts = new Set(Array.from({ length: atOnce }, (_, index) => sizeOfBatch(index + 1, atOnce)));
    for (const count of [...counts].toReversed())
      for (const text of textSizes(count, questionTokens))
        await programs.reserve(
          packedShape({
            text,
            codes: 0,
            features: count * vectors,
            textTargets: count * usualSpellings,
            imageTargets: 0,
            guided: 0,
          }),
        );
    const sampler =
      answerTokens === 0
        ? undefined
        : await createSampler({
            device,
            workspace,
            backbone,
            weights,
            rows: atOnce,
            promptBudget: vectors + questionTokens,
            textBudget: answerTokens,
            imageCount: 0,
            cache: attentionCache,
            special: tokenizer.special,
          });
    return new Answerer(options, vision, { workspace, sight, room, programs, temperature, sampler });
  }

  /** How likely the answer to each question begins with each of its sets; see `firstTokens` for what that means of spellings. */
  async probabilities(asked: readonly ChoiceQuestion[]): Promise<number[][]> {
    const prompts = asked.map((question) => this.promptOf(question));
    const wanted = asked.map(({ answers }) => firstTokens(this.options.tokenizer, answers));
    const seen = await this.look(asked);
    // Few sizes, and so few programs: the last question fills a batch up.
    const places = Array.from({ length: sizeOfBatch(asked.length, this.options.atOnce) }, (_, index) =>
      Math.min(index, asked.length - 1),
    );
    const values = await this.score(
      places.map((place) => at(prompts, place)),
      places.map((place) => at(wanted, place).flat()),
      places.map((place) => this.featuresOf(at(prompts, place), seen, place)),
    );
    return wanted.map((sets, index) => {
      let next = 0;
      return sets.map((ids) => ids.reduce((sum) => sum + Math.exp(at(at(values, index), next++)), 0));
    });
  }

  /** The likeliest answers, token by token. `ended`: whether the model ended it, and not the budget. */
  async write(asked: readonly PictureQuestion[]): Promise<{ readonly text: string; readonly ended: boolean }[]> {
    const { tokenizer } = this.options;
    const { sampler } = this.parts;
    if (sampler === undefined) throw new RangeError('it was made without room for written answers');
    const prompts = asked.map((question) => this.promptOf(question));
    const seen = await this.look(asked);
    const written = await sampler.write({
      prompts,
      samplesPerPrompt: 1,
      features: { placeholder: this.placeholder, ...seen },
      seed: 0,
      text: { temperature: 0, topK: 0, topP: 1 },
    });
    return written.map(({ ids, ended }) => ({ text: tokenizer.decode(ids).trim(), ended }));
  }

  async close(): Promise<void> {
    const { sight, room, programs, temperature, sampler, workspace } = this.parts;
    const { device } = this.options;
    sampler?.close();
    await programs.close();
    sight.close();
    for (const tensor of [room, temperature.tensor]) device.destroyTensor(tensor);
    workspace.close();
  }

  /** Throws QUESTION_TOO_LONG, so that one question does not end those that are answered with it. */
  refuseTooLong(question: PictureQuestion): void {
    this.promptOf(question);
  }

  private promptOf({ image, question }: PictureQuestion): number[] {
    const { questionTokens } = this.options;
    const pictures = image === undefined ? [] : [this.spanOf(image).vectors];
    const ids = this.conversation([{ question, pictures }]);
    const own = ids.length - (pictures[0] ?? 0);
    if (own <= questionTokens) return ids;
    throw new ReasongenError({
      code: 'QUESTION_TOO_LONG',
      message: `a question takes ${own} tokens, and there is room for ${questionTokens}: "${question.slice(0, 60)}…"`,
      hint: 'raise questionTokens, or ask less at a time',
      exitCode: exitCodes.badPreset,
    });
  }

  private spanOf(image: Image): PictureSpan {
    return this.vision.span(this.vision.fittedSize(image));
  }

  /** Every picture once, however many questions are about it. */
  private async look(asked: readonly PictureQuestion[]): Promise<Seen> {
    const known: { readonly image: Image; readonly first: number }[] = [];
    let next = 0;
    const first = asked.map(({ image }) => {
      if (image === undefined) return 0;
      const same = known.find((each) => isSamePicture(each.image, image));
      if (same !== undefined) return same.first;
      known.push({ image, first: next });
      const own = next;
      next += this.spanOf(image).vectors;
      return own;
    });
    const { sight, room } = this.parts;
    const values = await sight.look(
      known.map(({ image }) => this.vision.fit(image)),
      room,
    );
    const pictures = asked.map(({ image }) => (image === undefined ? [] : [this.spanOf(image)]));
    return { values, first, pictures };
  }

  private featuresOf(ids: readonly number[], { values, first, pictures }: Seen, question: number): PromptFeatures {
    const { positionAxes = 1 } = this.options.backbone;
    const placed = placePictures(ids, this.placeholder, at(pictures, question), positionAxes);
    return { ...placed, values, first: at(first, question) };
  }

  /** Log-probabilities of tokens behind each prompt. */
  private async score(
    prompts: readonly (readonly number[])[],
    wanted: readonly (readonly number[])[],
    features: readonly PromptFeatures[],
  ): Promise<number[][]> {
    const { device } = this.options;
    const questions = prompts.map((text, index) => sequenceOf(text, at(features, index)));
    const used = questions.reduce((sum, { text, features: places }) => sum + text.length - places.length, 0);
    const size = textSizes(prompts.length, this.options.questionTokens).findLast((each) => each >= used) ?? used;
    // One-token sequences that nobody asked for: few sizes occur, and all of them were planned.
    const filler = Array.from({ length: size - used }, () => sequenceOf([0]));
    const packed = packSequences([...questions, ...filler]);
    const batch: PackedBatch = { ...packed, text: targetsBehind(prompts, wanted, usualSpellings * prompts.length) };
    const { inputs, program, scored } = await this.parts.programs.prepare(batch);
    if (inputs.tokens.features !== undefined) copyFeatures(device, features, inputs.tokens.features);
    program.run();
    if (scored.text === undefined) throw new RangeError('unreachable: nothing was asked');
    const values = await device.readFloats(scored.text);
    let next = 0;
    return wanted.map((ids) => ids.map(() => at(values, 2 * next++)));
  }
}

/** The vectors of pictures, and of each question the row of them from which on it has those of its own, and what it looks at. */
interface Seen {
  readonly values: Tensor;
  readonly first: readonly number[];
  readonly pictures: readonly (readonly PictureSpan[])[];
}

function isSamePicture(a: Image, b: Image): boolean {
  return a === b || (a.width === b.width && a.height === b.height && Buffer.compare(a.data, b.data) === 0);
}

/** Tokens of text in a batch of so many questions: the most, a half and a quarter of that. */
function textSizes(count: number, questionTokens: number): number[] {
  return [1, 2, 4].map((part) => roundUp(Math.ceil((count * questionTokens) / part)));
}

function sequenceOf(
  text: readonly number[],
  features?: Pick<PromptFeatures, 'at' | 'positions'>,
): Sequence & { features: readonly number[] } {
  return {
    text,
    firstTarget: text.length,
    codes: [],
    trailing: [],
    features: features?.at ?? [],
    positions: features?.positions,
  };
}

/** Every wanted id as what follows the last token of its prompt. */
function targetsBehind(
  prompts: readonly (readonly number[])[],
  wanted: readonly (readonly number[])[],
  usual: number,
): PackedBatch['text'] {
  const used = wanted.reduce((sum, ids) => sum + ids.length, 0);
  const room = roundUp(Math.max(used, usual));
  const [rows, ids] = [new Uint32Array(room), new Uint32Array(room)];
  const [owner, position] = [new Uint32Array(used), new Uint32Array(used)];
  let [end, next] = [0, 0];
  for (const [index, own] of wanted.entries()) {
    end += at(prompts, index).length;
    for (const id of own) {
      rows[next] = end - 1;
      ids[next] = id;
      owner[next] = index;
      position[next] = at(prompts, index).length;
      next += 1;
    }
  }
  return { count: rows.length, used, rows, ids, owner, position };
}

/** The next power of two, as far as there is room. */
function sizeOfBatch(count: number, atOnce: number): number {
  return Math.min(atOnce, 2 ** Math.ceil(Math.log2(count)));
}

/** Of a tokenizer whose `conversation` is undefined. */
export function cannotConverse(): ReasongenError {
  return new ReasongenError({
    code: 'CANNOT_CONVERSE',
    message: 'the layout of this tokenizer has no conversations',
    hint: "use the model's own tokenizer: tokenizer: { use: huggingface, file: FOLDER }",
    exitCode: exitCodes.badPreset,
  });
}
