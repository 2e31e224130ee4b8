import type { Image } from './image.ts';

/** `seen`: combinations training may use. `heldout`: never in any training prompt. */
export type Split = 'seen' | 'heldout';

/** A prompt to draw, with what a judge needs to check the drawing. */
export interface PromptItem {
  readonly prompt: string;
  readonly task: string;
  readonly specification: unknown;
}

/** A training example: a prompt, the reasoning that should precede the picture, and the picture. */
export interface Example extends PromptItem {
  readonly rationale: string;
  readonly image: Image;
}

/**
 * A source of examples and prompts. Everything is a pure function of its arguments, so a data position
 * is two numbers and a resume is exact.
 */
export interface Dataset {
  readonly imageSize: { readonly width: number; readonly height: number };
  /** Names of the tasks, in the order reports list them. */
  readonly tasks: readonly string[];
  /** The `index`-th supervised example of the stream with this seed (always of the `seen` split). */
  example(index: number, seed: number): Example;
  /** The rationale of example `index` may be worded differently at every visit; the image stays. */
  rationale(index: number, seed: number, visit: number): string;
  /** An image for training the codec: busier than an example's. */
  codecImage(index: number, seed: number): Image;
  /** The `index`-th prompt of the stream with this seed. */
  prompt(index: number, seed: number, split: Split): PromptItem;
  /** Texts from which a tokenizer can be trained: every word the dataset can produce. */
  corpus(): readonly string[];
}
