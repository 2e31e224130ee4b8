/** The model as it answers: conversations about pictures, many at a time. */
import type { Backbone, PictureSpan, Weights } from '../contracts/backbone.ts';
import type { Image } from '../contracts/image.ts';
import type { Tokenizer, Turn } from '../contracts/tokenizer.ts';
import type { Workspace } from '../autograd/workspace.ts';
import { Sight } from '../models/vision-input.ts';
import { ContinuousSampler } from '../nn/continuous-sampler.ts';
import { placePictures, type PromptFeatures } from '../nn/features.ts';
import type { TextToken, WriteEnd } from '../nn/row-work.ts';
import type { SamplingRule } from '../ops/sample.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { badRequest } from './api-error.ts';

export interface AnswersOptions {
  /** Written at a time. */
  readonly answers: number;
  /** Longest one. */
  readonly answerTokens: number;
  /** Longest conversation, without its pictures. */
  readonly questionTokens: number;
  /** Most pictures of a conversation. */
  readonly pictures: number;
  readonly cache: 'f32' | 'f16';
}

export interface AnswersParts {
  readonly workspace: Workspace;
  readonly backbone: Backbone;
  readonly tokenizer: Tokenizer;
  readonly weights: Weights;
}

/** A conversation laid out for the model, with its pictures as it looks at them. */
export interface LaidOutQuestion {
  readonly promptIds: readonly number[];
  readonly turns: number;
  readonly pictures: readonly Image[];
}

/** One answer to it. */
export interface AnswerChoice {
  readonly seed: number;
  /** The how-many-th answer to the same question it is, from 0. */
  readonly number: number;
  readonly rule: SamplingRule;
  readonly tokens: number;
  readonly wantsLogits: boolean;
  readonly onTokens: (tokens: readonly TextToken[]) => boolean;
  readonly onEnd: (token: TextToken) => void;
  readonly signal: AbortSignal;
}

/** Characters that a token of text stands for, at most: what is longer is not even taken apart. */
const charactersPerToken = 16;
/** Row keys of the answers to one question: those of `ask` first. */
const keysBetweenAnswers = 2 ** 16;

export class ServedAnswers {
  readonly sampler: ContinuousSampler;
  private readonly parts: AnswersParts;
  private readonly options: AnswersOptions;
  private readonly sight: { readonly eye: Sight; readonly room: Tensor } | undefined;

  private constructor(
    parts: AnswersParts,
    options: AnswersOptions,
    sampler: ContinuousSampler,
    sight: ServedAnswers['sight'],
  ) {
    this.parts = parts;
    this.options = options;
    this.sampler = sampler;
    this.sight = sight;
  }

  /** Whether a model with this tokenizer can converse at all. */
  static isPossible({ conversation }: Tokenizer): boolean {
    return conversation !== undefined;
  }

  static async open(parts: AnswersParts, options: AnswersOptions): Promise<ServedAnswers> {
    const { workspace, backbone, tokenizer, weights } = parts;
    const { device } = workspace;
    const { vision } = backbone;
    const { answers, answerTokens, questionTokens, pictures, cache } = options;
    const looks = vision !== undefined && tokenizer.special.imagePlaceholder !== undefined && pictures > 0;
    const eye = looks ? new Sight(workspace, vision, weights) : undefined;
    const room = await eye?.reserve(pictures);
    const sampler = await ContinuousSampler.open({
      ...{ device, workspace, backbone, weights, cache, rows: answers, special: tokenizer.special },
      promptBudget: questionTokens + (looks ? pictures * vision.span(vision.largest).vectors : 0),
      // The token that ends it is none of the answer.
      textBudget: answerTokens + 1,
      imageCount: 0,
    });
    return new ServedAnswers(parts, options, sampler, eye && room && { eye, room });
  }

  /** Most pictures of a conversation; 0 for a model that cannot look. */
  get mostPictures(): number {
    return this.sight === undefined ? 0 : this.options.pictures;
  }

  /** Throws 400 for a conversation whose text is so long that it need not even be taken apart. */
  refuseTooLong(turns: readonly Pick<Turn, 'question' | 'answer'>[]): void {
    const { questionTokens } = this.options;
    const characters = turns.reduce((sum, { question, answer = '' }) => sum + question.length + answer.length, 0);
    if (characters > charactersPerToken * questionTokens) throw tooLong(`${characters} characters`, questionTokens);
  }

  /** Lays a conversation out, with the vectors of its pictures. Throws 400 for one that is too long. */
  layOut(turns: readonly Turn[]): readonly number[] {
    const { questionTokens } = this.options;
    const { conversation } = this.parts.tokenizer;
    if (conversation === undefined) throw new RangeError('unreachable: this model has no conversations');
    const ids = conversation(turns);
    const vectors = turns.flatMap(({ pictures }) => pictures).reduce((sum, count) => sum + count, 0);
    const own = ids.length - vectors;
    if (own > questionTokens) throw tooLong(`${own} tokens`, questionTokens);
    return ids;
  }

  /** A picture as the model looks at it, and how many vectors it becomes. Throws PICTURE_SHAPE. */
  fit(image: Image): { readonly image: Image; readonly vectors: number } {
    if (this.sight === undefined) throw new RangeError('unreachable: this model cannot look');
    const { vision } = this.sight.eye;
    const fitted = vision.fit(image);
    return { image: fitted, vectors: vision.span(fitted).vectors };
  }

  write({ promptIds, turns, pictures }: LaidOutQuestion, choice: AnswerChoice): Promise<WriteEnd> {
    const { seed, number, rule, tokens, wantsLogits, onTokens, onEnd, signal } = choice;
    return this.sampler.write({
      ...{ promptIds, seed, tokens, wantsLogits, onTokens, onEnd, signal },
      key: turns + number * keysBetweenAnswers,
      text: rule,
      ...(pictures.length > 0 && { features: () => this.look(promptIds, pictures) }),
    });
  }

  async close(): Promise<void> {
    await this.sampler.close();
    this.sight?.eye.close();
    if (this.sight !== undefined) this.parts.workspace.device.destroyTensor(this.sight.room);
  }

  /** Called as a conversation gets its turn, one after the other: all of them have the same room. */
  private async look(ids: readonly number[], pictures: readonly Image[]): Promise<PromptFeatures> {
    const { sight, parts } = this;
    const { imagePlaceholder } = parts.tokenizer.special;
    if (sight === undefined || imagePlaceholder === undefined)
      throw new RangeError('unreachable: this model cannot look');
    const { eye, room } = sight;
    const spans = pictures.map((picture): PictureSpan => eye.vision.span(picture));
    const placed = placePictures(ids, imagePlaceholder, spans, parts.backbone.positionAxes ?? 1);
    return { ...placed, values: await eye.look(pictures, room), first: 0 };
  }
}

function tooLong(what: string, most: number): Error {
  return badRequest(
    `the conversation has ${what}; this server reads ${most} tokens of text`,
    'messages',
    'context_length_exceeded',
  );
}
