/** A model that looks answers questions about pictures, many at a time. An answer does not depend on what else is asked. */
import { createHash } from 'node:crypto';
import type { Backbone, PictureSpan, Vision, Weights } from '../contracts/backbone.ts';
import type { Image } from '../contracts/image.ts';
import type { Tokenizer } from '../contracts/tokenizer.ts';
import { Workspace } from '../autograd/workspace.ts';
import { ReasongenError, exitCodes } from '../errors.ts';
import type { Device } from '../gpu/device.ts';
import type { MatrixProducts } from '../gpu/matrix-products.ts';
import { placePictures, type PromptFeatures } from '../nn/features.ts';
import { PrefixedRows, type PrefixWork } from '../nn/prefixed-rows.ts';
import { SampledRows } from '../nn/sampled-rows.ts';
import { createSampler, type Sampler, type SamplerOptions } from '../nn/sampler.ts';
import { at } from '../tensor/at.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { firstTokens } from './first-tokens.ts';
import { PictureNames } from './picture-names.ts';
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

/** One that is answered in words; `turn`: the how-many-th answer to it this is, where answers are left to chance. */
export interface WrittenQuestion extends PictureQuestion {
  readonly turn?: number;
}

/** What has been computed so far; `looks`: pictures that were looked at. */
export interface AnswererWork extends PrefixWork {
  readonly looks: number;
}

export interface AnswererOptions {
  readonly device: Device;
  /** What multiplies on tensor cores, where anything does. */
  readonly products?: MatrixProducts | undefined;
  readonly backbone: Backbone;
  readonly tokenizer: Tokenizer;
  /** Of the backbone and of its vision part; read at every pass. */
  readonly weights: Weights;
  /** Whether the weights stay as they are: what was computed of a picture is then used again when more is asked about it. */
  readonly isFixed: boolean;
  /** Questions that are answered at a time. */
  readonly atOnce: number;
  /** Longest question in tokens, with its layout and without its picture. */
  readonly questionTokens: number;
  /** Longest written answer in tokens; 0 where none is ever written. */
  readonly answerTokens: number;
  readonly attentionCache: 'f32' | 'f16';
  /** Of written answers; 0, the likeliest tokens, unless told. */
  readonly temperature?: number;
}

/** Targets that room is made for with each question; a question with more makes its program larger. */
const usualSpellings = 16;

export class Answerer {
  private readonly options: AnswererOptions;
  private readonly vision: Vision;
  private readonly conversation: NonNullable<Tokenizer['conversation']>;
  private readonly placeholder: number;
  private readonly names = new PictureNames();
  private looks = 0;
  private readonly parts: {
    readonly workspace: Workspace;
    readonly sight: Sight;
    /** For the pictures of a batch. */
    readonly room: Tensor;
    readonly rows: SampledRows;
    readonly beginnings: PrefixedRows;
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
    const { device, products, backbone, tokenizer, weights, atOnce, questionTokens, answerTokens, attentionCache } =
      options;
    const vision = visionOf(backbone);
    if (tokenizer.conversation === undefined) throw cannotConverse();
    const workspace = new Workspace(device, products);
    const sight = new Sight(workspace, vision, weights);
    const room = await sight.reserve(atOnce);
    const { vectors } = vision.span(vision.largest);
    const sampling: SamplerOptions = {
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
    };
    const rows = new SampledRows(sampling);
    const beginnings = await PrefixedRows.open(
      {
        workspace,
        backbone,
        weights,
        cache: rows.cache,
        mostTokens: atOnce * questionTokens,
        mostTargets: atOnce * usualSpellings,
        remembers: options.isFixed,
      },
      atOnce * (vectors + questionTokens),
    );
    const sampler = answerTokens === 0 ? undefined : await createSampler(sampling, { rows, heads: beginnings });
    return new Answerer(options, vision, { workspace, sight, room, rows, beginnings, sampler });
  }

  /** What has been computed so far. */
  get work(): AnswererWork {
    return { ...this.parts.beginnings.work, looks: this.looks };
  }

  /** How likely the answer to each question begins with each of its sets; see `firstTokens` for what that means of spellings. */
  async probabilities(asked: readonly ChoiceQuestion[]): Promise<number[][]> {
    const { rows, beginnings } = this.parts;
    const prompts = asked.map((question) => this.promptOf(question));
    const wanted = asked.map(({ answers }) => firstTokens(this.options.tokenizer, answers));
    const named = this.named(asked, prompts);
    const chosen = beginnings.choose(named);
    const seen = await this.look(asked, named, chosen);
    const placed = prompts.map((ids, index) => ({
      row: at(chosen, index),
      ids,
      features: this.featuresOf(ids, seen, index),
    }));
    for (const { row, ids, features } of placed)
      rows.place(row, { promptIds: ids, head: ids, writes: false, features, key: 0 }, ids.length);
    const values = await beginnings.run(
      placed,
      wanted.map((sets) => sets.flat()),
    );
    return wanted.map((sets, index) => {
      let next = 0;
      return sets.map((ids) => ids.reduce((sum) => sum + Math.exp(at(at(values, index), next++)), 0));
    });
  }

  /** Answers token by token, the likeliest ones unless told. `ended`: whether the model ended it, and not the budget. */
  async write(asked: readonly WrittenQuestion[]): Promise<{ readonly text: string; readonly ended: boolean }[]> {
    const { tokenizer, temperature = 0 } = this.options;
    const { sampler } = this.parts;
    if (sampler === undefined) throw new RangeError('it was made without room for written answers');
    const prompts = asked.map((question) => this.promptOf(question));
    const named = this.named(asked, prompts);
    const seen = await this.look(
      asked,
      named,
      asked.map((_, row) => row),
    );
    const written = await sampler.write({
      prompts,
      samplesPerPrompt: 1,
      features: { placeholder: this.placeholder, ...seen },
      seed: 0,
      rowKeys: asked.map(({ question, turn = 0 }, index) => keyOf(named[index], question, turn)),
      text: { temperature, topK: 0, topP: 1 },
    });
    return written.map(({ ids, ended }) => ({ text: tokenizer.decode(ids).trim(), ended }));
  }

  async close(): Promise<void> {
    const { sight, room, rows, beginnings, sampler, workspace } = this.parts;
    const { device } = this.options;
    sampler?.close();
    await beginnings.close();
    rows.close();
    sight.close();
    device.destroyTensor(room);
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

  /** What the prompts of questions begin with: picture and layout up to the end of the picture; undefined without one. */
  private named(asked: readonly PictureQuestion[], prompts: readonly (readonly number[])[]): (string | undefined)[] {
    return asked.map(({ image }, index) => {
      if (image === undefined) return undefined;
      const ids = at(prompts, index);
      const layout = ids.slice(0, ids.lastIndexOf(this.placeholder) + 1);
      return `${this.names.of(image)} ${layout.join(' ')}`;
    });
  }

  /** Every picture once, however many questions are about it, and none that a row of the cache begins with already. */
  private async look(
    asked: readonly PictureQuestion[],
    names: readonly (string | undefined)[],
    rows: readonly number[],
  ): Promise<Seen> {
    const { sight, room, beginnings } = this.parts;
    const known = new Map<string, { readonly image: Image; readonly first: number }>();
    let next = 0;
    const isNew = beginnings.areNew(names.map((name, index) => ({ name, row: at(rows, index) })));
    const first = asked.map(({ image }, index) => {
      const name = names[index];
      if (image === undefined || name === undefined || isNew[index] === false) return 0;
      const same = known.get(name);
      if (same !== undefined) return same.first;
      known.set(name, { image, first: next });
      const own = next;
      next += this.spanOf(image).vectors;
      return own;
    });
    this.looks += known.size;
    const values =
      known.size === 0
        ? room
        : await sight.look(
            [...known.values()].map(({ image }) => this.vision.fit(image)),
            room,
          );
    const pictures = asked.map(({ image }) => (image === undefined ? [] : [this.spanOf(image)]));
    return { values, first, pictures, names };
  }

  private featuresOf(
    ids: readonly number[],
    { values, first, pictures, names }: Seen,
    question: number,
  ): PromptFeatures {
    const { positionAxes = 1 } = this.options.backbone;
    const placed = placePictures(ids, this.placeholder, at(pictures, question), positionAxes);
    return { ...placed, values, first: at(first, question), name: names[question] };
  }
}

/** The vectors of pictures, and of each question the row of them from which on it has those of its own, and what it looks at. */
interface Seen {
  readonly values: Tensor;
  readonly first: readonly number[];
  readonly pictures: readonly (readonly PictureSpan[])[];
  readonly names: readonly (string | undefined)[];
}

/** What the randomness of an answer is counted by: the question alone, whatever is asked beside it. */
function keyOf(picture: string | undefined, question: string, turn: number): number {
  return createHash('sha256')
    .update(JSON.stringify([picture, question, turn]))
    .digest()
    .readUInt32LE(0);
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
