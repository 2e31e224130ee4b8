/** What a row of the continuous sampler is asked for. */
import type { SamplingRule } from '../ops/sample.ts';
import type { PromptFeatures } from './features.ts';
import type { DrawnToken } from './sampling.ts';

/** One sequence to write or to draw. */
interface Work {
  readonly promptIds: readonly number[];
  /** Vectors in place of some of the ids, made when the row gets its turn and left as they are until it has ended. */
  readonly features?: () => Promise<PromptFeatures>;
  readonly seed: number;
  /** u32: what tells the randomness of rows with one seed apart. */
  readonly key: number;
  readonly text: SamplingRule;
  /** When it is aborted the row leaves, and its promise is rejected with the reason. */
  readonly signal: AbortSignal;
}

/** A token of a text, with the logits it was drawn from where they were asked for: f32 [textVocabulary], the model's own, without temperature. */
export interface TextToken extends DrawnToken {
  readonly logits?: Float32Array;
}

/** Text behind a prompt, for a sampler made with `imageCount: 0`. */
export interface WriteWork extends Work {
  /** Most tokens; the one that ends a text is none of them. */
  readonly tokens: number;
  readonly wantsLogits?: boolean;
  /** Told of every few tokens, the end token left out; `false` says that it is enough. */
  readonly onTokens: (tokens: readonly TextToken[]) => boolean;
  /** Told of the token by which the model ended the text, where logits are wanted. */
  readonly onEnd?: (token: TextToken) => void;
}

/** Why a text goes no further: the model ended it, `tokens` were written, or `onTokens` had enough. */
export type WriteEnd = 'model' | 'budget' | 'told';

/** A rationale and a picture. */
export interface DrawWork extends Work {
  readonly rationale: 'write' | 'skip' | readonly number[];
  readonly image: SamplingRule;
  /** The unconditional branch of prompt, rationale and image start; needed with guidance. */
  readonly unconditional: (sequence: readonly number[]) => readonly number[];
}

export function isGuided(work: WriteWork | DrawWork): boolean {
  return 'image' in work && (work.image.guidance ?? 1) !== 1;
}
