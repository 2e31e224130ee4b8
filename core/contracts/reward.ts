import type { Image } from './image.ts';

/** One finished drawing with everything a judge may look at. */
export interface Sample {
  /** Unique within a scoring call; stable for a seed. */
  readonly id: string;
  readonly prompt: string;
  /** Task name of the prompt's dataset, e.g. `counting`. */
  readonly task: string;
  /** What the prompt demands, as its dataset wrote it down; plain JSON. */
  readonly specification: unknown;
  /** The text written before the picture; empty when the run has no rationale. */
  readonly rationale: string;
  /** True when the rationale ended by itself, false when the length cap cut it. */
  readonly rationaleEnded: boolean;
  readonly image: Image;
  /** Image codes in raster order. */
  readonly codes: readonly number[];
}

/** A judged sample. A bare number stands for `{ value }`. */
export interface Score {
  readonly value: number;
  /** Why, in words for a person: shown in the report beside the picture. */
  readonly why?: string;
  /** Named parts of the value, for the metrics. */
  readonly parts?: Readonly<Record<string, number>>;
  /** The judge gave no usable answer and `value` stands in for one; a guard stops a run in which that is common. */
  readonly unparsed?: true;
}

/** Judges samples. Must return one finite score per sample, in order. */
export interface Reward {
  score(
    samples: readonly Sample[],
    signal: AbortSignal,
  ): readonly (number | Score)[] | Promise<readonly (number | Score)[]>;
}
