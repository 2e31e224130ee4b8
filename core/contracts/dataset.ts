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

/** A supervised example that lies in files; its picture is decoded when its codes are not known yet. */
export interface StoredExample extends PromptItem {
  /** Empty where the row has none. */
  readonly rationale: string;
  /** Why it has none, for a recipe that writes one. */
  readonly whyNoRationale?: string;
  /** File and row, for messages. */
  readonly place: string;
  /** Of the picture as `picture` gives it: the same hash means the same codes. */
  readonly pictureHash: string;
  /** Throws when the bytes are no picture. */
  picture(): Promise<Image>;
}

/** A row that gives no example, and why. */
export interface BadRow {
  readonly place: string;
  readonly why: string;
}

/** Examples that lie in files. A pure function of position and seed, as long as the files stay as they are. */
export interface ExampleSource {
  /** An epoch visits each once, in an order of its own. */
  readonly rows: number;
  /** Of what decides which row stands at which position; a checkpoint keeps it. */
  readonly hash: string;
  at(position: number, seed: number): Promise<StoredExample | BadRow>;
}

interface AnyDataset {
  readonly imageSize: { readonly width: number; readonly height: number };
  /** Names of the tasks, in the order reports list them. */
  readonly tasks: readonly string[];
}

/** A dataset of files. It has examples and nothing else: prompts to draw come from prompt files or a benchmark. */
export interface StoredDataset extends AnyDataset {
  /** `heldout`: rows that training never sees, in the order of the files; absent where the dataset keeps none back. */
  open(part: 'training' | 'heldout'): Promise<ExampleSource | undefined>;
}

/**
 * A dataset that makes what it is asked for. Everything is a pure function of its arguments, so a data position
 * is two numbers and a resume is exact.
 */
export interface GeneratedDataset extends AnyDataset {
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

export type Dataset = GeneratedDataset | StoredDataset;
