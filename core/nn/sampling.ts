/** What is asked of a sampler and what it gives, with the checks and the bookkeeping that need no device. */
import type { Workspace } from '../autograd/workspace.ts';
import type { Backbone, PictureSpan, Weights } from '../contracts/backbone.ts';
import { ReasongenError, exitCodes } from '../errors.ts';
import type { Device } from '../gpu/device.ts';
import { forcedByBudget, type SamplingRule } from '../ops/sample.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { placePictures, type PromptFeatures } from './features.ts';
import { at } from '../tensor/at.ts';

export interface SamplerOptions {
  readonly device: Device;
  readonly workspace: Workspace;
  readonly backbone: Backbone;
  /** Read at every replay: training them in place changes what is sampled. */
  readonly weights: Weights;
  /** Sequences written at once. */
  readonly rows: number;
  /** Different prompts among them, at most; as many as rows unless told. What is reserved for prefills, not a limit. */
  readonly prompts?: number;
  /** Longest prompt, in tokens. */
  readonly promptBudget: number;
  /** Longest text, the token that ends it included; 0 when none is ever written. */
  readonly textBudget: number;
  /** Codes of a picture; 0 for a sampler that only writes. */
  readonly imageCount: number;
  /** Whether guidance may be asked for: doubles the cache. */
  readonly guidance?: boolean;
  /** How keys and values are kept; f32 unless told. f16 halves their memory and rounds them; needs the adapter's shader-f16. */
  readonly cache?: 'f32' | 'f16';
  readonly special: { readonly imageStart: number; readonly eos?: number; readonly otherEnd?: number };
}

/** Vectors in place of tokens: the ids equal to `placeholder`, in order of positions, stand for rows of `values`. */
export interface RequestFeatures {
  readonly placeholder: number;
  /** f32 [count, vectorSize] in a buffer, left as it is until the request has been answered. */
  readonly values: Tensor;
  /** The pictures of each prompt, in their order. */
  readonly pictures: readonly (readonly PictureSpan[])[];
  /** The row from which on each prompt takes them, so that prompts may share some; absent: all of them, prompts in order. */
  readonly first?: readonly number[];
  /** What each prompt begins with: see `PromptFeatures.name`. */
  readonly names?: readonly (string | undefined)[];
}

/** What drawing and writing have in common. */
interface Request {
  /** Token ids; with `rationale: 'skip'` they end with the image start. */
  readonly prompts: readonly (readonly number[])[];
  readonly samplesPerPrompt: number;
  readonly features?: RequestFeatures;
  readonly seed: number;
  /** One per sample, prompts in order, u32: what its randomness is counted by. By default 0, 1, 2, … */
  readonly rowKeys?: readonly number[];
  readonly text: SamplingRule;
  readonly onProgress?: (progress: SampleProgress) => void;
}

/** Text until the end token, and no picture. */
export interface WriteRequest extends Request {
  /** Told after every few steps what a sample has written so far, without its end token. */
  readonly onText?: (sample: number, ids: readonly number[]) => void;
}

export interface SampleRequest extends Request {
  /** What the model sees in the unconditional branch, image start included: fixed, or made from prompt, rationale and image start of a row. */
  readonly unconditional?: readonly number[] | ((sequence: readonly number[]) => readonly number[]);
  readonly image: SamplingRule;
  /** Written by the model or left out; or, one entry per prompt, written by the model or given as ids. */
  readonly rationale: 'write' | 'skip' | readonly ('write' | readonly number[])[];
}

export interface SampleProgress {
  readonly phase: 'text' | 'image';
  /** Steps of this phase done, and at most to do. */
  readonly step: number;
  readonly steps: number;
  /** Rows computed in the last step: falls as texts end. */
  readonly rows: number;
  /** Samples finished before this batch of rows, and in all. */
  readonly finished: number;
  readonly samples: number;
}

export interface SampledSequence {
  readonly promptIds: readonly number[];
  /** Without the image start. */
  readonly rationaleIds: readonly number[];
  /** The image start was put there, not chosen: its log-probability and entropy are 0 and must not be trained on. */
  readonly imageStartForced: boolean;
  /** False when the text budget ran out. */
  readonly rationaleEnded: boolean;
  readonly codes: readonly number[];
  /** Of the tokens after promptIds (rationale, image start, codes), under the distribution each was drawn from, in nats. */
  readonly logProbability: Float32Array;
  readonly entropy: Float32Array;
  /** Tokens drawn by the model. */
  readonly steps: number;
  /** The worker of another adapter that drew it: its numbers differ in their last bits. */
  readonly drawnBy?: string;
}

/** What a text-only sampler gives. */
export interface WrittenText {
  readonly promptIds: readonly number[];
  /** Without the end token. */
  readonly ids: readonly number[];
  /** Whether the model ended it; otherwise the budget was used up. */
  readonly ended: boolean;
  /** Of `ids`, and of the end token where the model drew it, in nats. */
  readonly logProbability: Float32Array;
  readonly entropy: Float32Array;
}

/** One row's work. */
export interface SampleEntry {
  readonly promptIds: readonly number[];
  /** Everything in front of what the model writes: the prompt, and a given rationale with its image start. */
  readonly head: readonly number[];
  /** Whether the model writes text behind the head. */
  readonly writes: boolean;
  readonly features?: PromptFeatures | undefined;
  readonly key: number;
}

/** A token as the device noted it. */
export interface DrawnToken {
  readonly id: number;
  readonly forced: number;
  readonly logProbability: number;
  readonly entropy: number;
}

/** `forced` of a token that came with the request. */
const givenByCaller = 3;

/** One entry per sample, prompts in order; refuses what does not fit the sampler. */
export function planEntries(
  options: SamplerOptions,
  request: Request,
  rationale: SampleRequest['rationale'],
): SampleEntry[] {
  const { prompts, samplesPerPrompt, rowKeys } = request;
  const { promptBudget, textBudget, special } = options;
  const samples = prompts.length * samplesPerPrompt;
  if (rowKeys !== undefined && rowKeys.length !== samples)
    throw new RangeError(`${rowKeys.length} row keys for ${samples} samples`);
  if (typeof rationale !== 'string' && rationale.length !== prompts.length)
    throw new RangeError(`${rationale.length} rationales for ${prompts.length} prompts`);
  const features = placeFeatures(prompts, request.features, options.backbone);
  return prompts.flatMap((promptIds, index) => {
    if (promptIds.length === 0) throw new RangeError(`prompt ${index} has no tokens`);
    if (promptIds.length > promptBudget) {
      throw new ReasongenError({
        code: 'PROMPT_TOO_LONG',
        message: `prompt ${index + 1} has ${promptIds.length} tokens; this sampler takes ${promptBudget}`,
        hint: 'shorten the prompt, or raise promptTokens in the recipe',
        exitCode: exitCodes.badPreset,
      });
    }
    const given = typeof rationale === 'string' ? rationale : (rationale[index] ?? 'write');
    const writes = given === 'write';
    if (writes && textBudget === 0) throw new RangeError('this sampler was made without room for a rationale');
    if (typeof given !== 'string' && given.length + 1 > textBudget) {
      throw new ReasongenError({
        code: 'RATIONALE_TOO_LONG',
        message: `the rationale given for prompt ${index + 1} has ${given.length} tokens; this sampler takes ${Math.max(0, textBudget - 1)}`,
        hint: 'shorten the rationale, or raise rationaleTokens in the recipe',
        exitCode: exitCodes.badPreset,
      });
    }
    if (given === 'skip' && promptIds.at(-1) !== special.imageStart)
      throw new RangeError(`without a rationale prompt ${index} must end with the image start`);
    const head = typeof given === 'string' ? promptIds : [...promptIds, ...given, special.imageStart];
    return Array.from({ length: samplesPerPrompt }, (_, sampleIndex): SampleEntry => {
      const position = index * samplesPerPrompt + sampleIndex;
      return { promptIds, head, writes, features: features[index], key: rowKeys?.[position] ?? position };
    });
  });
}

/** Which rows of the features each prompt takes, in order, and where its tokens stand. */
function placeFeatures(
  prompts: Request['prompts'],
  features: RequestFeatures | undefined,
  { hiddenSize, vision, positionAxes = 1 }: Backbone,
): (PromptFeatures | undefined)[] {
  if (features === undefined) return [];
  const { placeholder, values, first, pictures, names } = features;
  let next = 0;
  const placed = prompts.map((ids, index): PromptFeatures | undefined => {
    const places = placePictures(ids, placeholder, pictures[index] ?? [], positionAxes);
    if (places.at.at(-1) === ids.length - 1)
      throw new RangeError('a prompt must not end with a placeholder: its last token is fed as a token');
    const from = first === undefined ? next : at(first, index);
    next += places.at.length;
    return places.at.length === 0 ? undefined : { ...places, values, first: from, name: names?.[index] };
  });
  const width = vision?.vectorSize ?? hiddenSize;
  if (first === undefined && values.shape.join() !== [next, width].join())
    throw new RangeError(
      `${next} placeholders need features [${next}, ${width}], not ${values.name} [${values.shape}]`,
    );
  return placed;
}

/** Puts together what row `entry` became; `token` tells what the device noted at a position behind the head. */
export function collectSequence(
  entry: SampleEntry,
  length: number,
  imageCount: number,
  token: (position: number) => DrawnToken,
): SampledSequence {
  const { promptIds, head } = entry;
  const after = Array.from({ length: length - promptIds.length }, (_, index): DrawnToken => {
    const position = promptIds.length + index;
    return position < head.length
      ? { id: at(head, position), forced: givenByCaller, logProbability: 0, entropy: 0 }
      : token(position);
  });
  refuseNotFinite(after);
  const ids = after.map(({ id }) => id);
  const codesFrom = after.length - imageCount;
  // Undefined where no rationale was asked for: the prompt itself ends with the image start.
  const start = after[codesFrom - 1];
  return {
    promptIds,
    rationaleIds: ids.slice(0, Math.max(0, codesFrom - 1)),
    imageStartForced: start !== undefined && start.forced !== 0,
    rationaleEnded: start?.forced !== forcedByBudget,
    codes: ids.slice(codesFrom),
    logProbability: Float32Array.from(after, ({ logProbability }) => logProbability),
    entropy: Float32Array.from(after, ({ entropy }) => entropy),
    steps: length - head.length,
  };
}

/** Puts together what row `entry` wrote in a text-only run: the device notes the end token as it notes an image start. */
export function collectText(entry: SampleEntry, length: number, token: (position: number) => DrawnToken): WrittenText {
  const { promptIds } = entry;
  const all = Array.from({ length: length - promptIds.length }, (_, index) => token(promptIds.length + index));
  refuseNotFinite(all);
  const ended = all.at(-1)?.forced !== forcedByBudget;
  const noted = ended ? all : all.slice(0, -1);
  return {
    promptIds,
    ids: all.slice(0, -1).map(({ id }) => id),
    ended,
    logProbability: Float32Array.from(noted, ({ logProbability }) => logProbability),
    entropy: Float32Array.from(noted, ({ entropy }) => entropy),
  };
}

/** Throws SAMPLE_NOT_FINITE. */
export function refuseNotFinite(tokens: readonly DrawnToken[]): void {
  if (tokens.every(({ logProbability, entropy }) => Number.isFinite(logProbability) && Number.isFinite(entropy)))
    return;
  throw new ReasongenError({
    code: 'SAMPLE_NOT_FINITE',
    message: 'the model gave logits that are not finite numbers while sampling',
    hint: 'its weights have diverged: go back to an earlier checkpoint and lower the learning rate',
    exitCode: exitCodes.guard,
  });
}
