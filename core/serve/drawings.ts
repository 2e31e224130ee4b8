/** The model as it draws: a rationale and a picture for a prompt, many at a time. A drawing is what `generate` draws with the same seed. */
import type { Workspace } from '../autograd/workspace.ts';
import type { Backbone, Weights } from '../contracts/backbone.ts';
import type { Image } from '../contracts/image.ts';
import type { ImageTokenizer } from '../contracts/image-tokenizer.ts';
import type { Tokenizer } from '../contracts/tokenizer.ts';
import type { Sampling } from '../drawing/drawer.ts';
import { ContinuousSampler } from '../nn/continuous-sampler.ts';
import { at } from '../tensor/at.ts';
import { badRequest } from './api-error.ts';

export interface DrawingsOptions extends Sampling {
  /** Drawn at a time. */
  readonly drawings: number;
  /** Longest prompt, with its frame. */
  readonly promptTokens: number;
}

export interface DrawingsParts {
  readonly workspace: Workspace;
  readonly backbone: Backbone;
  readonly tokenizer: Tokenizer;
  readonly imageTokenizer: ImageTokenizer;
  readonly weights: Weights;
}

/** How a prompt is drawn where a request says it. */
export interface DrawingChoice {
  /** Given, written by the model, or none. */
  readonly rationale: { readonly given: string } | 'write' | 'skip';
  readonly seed: number;
  readonly guidance: number;
  readonly temperature: number;
}

export interface ServedDrawing {
  readonly image: Image;
  readonly rationale: string;
  /** False where its budget cut it off. */
  readonly rationaleEnded: boolean;
  /** Tokens drawn by the model. */
  readonly tokens: number;
}

const charactersPerToken = 16;

export class ServedDrawings {
  readonly sampler: ContinuousSampler;
  readonly options: DrawingsOptions;
  private readonly parts: DrawingsParts;
  /** Decoding has one set of buffers. */
  private decoding: Promise<unknown> = Promise.resolve();

  private constructor(parts: DrawingsParts, options: DrawingsOptions, sampler: ContinuousSampler) {
    this.parts = parts;
    this.options = options;
    this.sampler = sampler;
  }

  static async open(parts: DrawingsParts, options: DrawingsOptions): Promise<ServedDrawings> {
    const { workspace, backbone, tokenizer, imageTokenizer, weights } = parts;
    const { drawings, promptTokens, rationaleTokens, cache } = options;
    const codes = imageTokenizer.grid.rows * imageTokenizer.grid.columns;
    const sampler = await ContinuousSampler.open({
      ...{ device: workspace.device, workspace, backbone, weights, cache, rows: drawings, special: tokenizer.special },
      ...{ promptBudget: promptTokens, textBudget: rationaleTokens, imageCount: codes, guidance: true },
    });
    await imageTokenizer.decode([new Array<number>(codes).fill(0)]);
    return new ServedDrawings(parts, options, sampler);
  }

  /** Pixels of a picture. */
  get size(): { readonly width: number; readonly height: number } {
    return this.parts.imageTokenizer.imageSize;
  }

  /** The ids in front of what the model writes or draws. Throws 400 for a prompt or a rationale that is too long. */
  layOut(
    prompt: string,
    rationale: DrawingChoice['rationale'],
  ): { readonly ids: readonly number[]; readonly given?: readonly number[] } {
    const { promptTokens, rationaleTokens } = this.options;
    const { tokenizer } = this.parts;
    if (prompt.length > charactersPerToken * promptTokens)
      throw tooLong('prompt', `${prompt.length} characters`, promptTokens);
    const ids = tokenizer.prompt(prompt, rationale === 'skip' ? 'direct' : 'rationale');
    if (ids.length > promptTokens) throw tooLong('prompt', `${ids.length} tokens`, promptTokens);
    if (typeof rationale === 'string') return { ids };
    const text = rationale.given;
    if (text.length > charactersPerToken * rationaleTokens)
      throw tooLong('rationale', `${text.length} characters`, rationaleTokens - 1);
    const given = tokenizer.encode(text);
    if (given.length + 1 > rationaleTokens) throw tooLong('rationale', `${given.length} tokens`, rationaleTokens - 1);
    return { ids, given };
  }

  /** The drawing `number` of a prompt, from 0. */
  async draw(
    { ids, given }: ReturnType<ServedDrawings['layOut']>,
    choice: DrawingChoice,
    number: number,
    signal: AbortSignal,
  ): Promise<ServedDrawing> {
    const { tokenizer } = this.parts;
    const { textTemperature, textTopK, textTopP, imageTopK, imageTopP } = this.options;
    const { seed, guidance, temperature } = choice;
    const sequence = await this.sampler.draw({
      ...{ promptIds: ids, seed, key: number, signal },
      rationale: given ?? (choice.rationale === 'skip' ? 'skip' : 'write'),
      text: { temperature: textTemperature, topK: textTopK, topP: textTopP },
      image: { temperature, topK: imageTopK, topP: imageTopP, guidance },
      unconditional: (all) => tokenizer.unconditional(all),
    });
    signal.throwIfAborted();
    return {
      image: await this.decode(sequence.codes),
      rationale: tokenizer.decode(sequence.rationaleIds).trim(),
      rationaleEnded: sequence.rationaleEnded,
      tokens: sequence.steps,
    };
  }

  async close(): Promise<void> {
    await this.sampler.close();
    await this.decoding;
  }

  private decode(codes: readonly number[]): Promise<Image> {
    const own = this.decoding.then(async () => at(await this.parts.imageTokenizer.decode([codes]), 0));
    this.decoding = own.catch(() => undefined);
    return own;
  }
}

function tooLong(param: 'prompt' | 'rationale', what: string, most: number): Error {
  return badRequest(`the ${param} has ${what}; this server takes ${most} tokens`, param, 'context_length_exceeded');
}
