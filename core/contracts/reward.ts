import type { Image } from './image.ts';

/** What a drawing was made for: to be trained on, or to measure how the model does. */
export type Phase = 'train' | 'evaluation';

/** One finished drawing with everything a judge may look at. What a plugin is handed is a copy that cannot be changed. */
export interface Sample {
  /** Unique within a scoring call; stable for a seed. */
  readonly id: string;
  /** Number of its prompt within the call: samples of one group share it, samples of equal prompts need not. */
  readonly group: number;
  /** Its number within the group, from 0. */
  readonly copy: number;
  /** The training step; 0 before the first, and where nothing is trained. */
  readonly step: number;
  readonly phase: Phase;
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
  /** The judge gave no usable answer and `value` stands in for one, as the preset wants it; a guard stops a run in which that is common. */
  readonly unparsed?: true;
  /** `id` of the sample that was judged. Where every score has one, their order does not matter. */
  readonly id?: string;
}

/**
 * The judge was asked and gave no usable answer. Nothing is made up in its place: the preset says what becomes of the sample (`onNoVerdict`),
 * and a guard stops a run in which that is common.
 */
export interface NoVerdict {
  /** Why, in words for a person. */
  readonly noVerdict: string;
  readonly id?: string;
}

/** `null`: the reward does not apply to this sample, which is left out of the reward's mean and, where no reward applies, of its group. */
export type RewardAnswer = number | Score | NoVerdict | null;

/** Judges samples. Must return one answer per sample: in order, or each with the `id` of its sample. */
export interface Reward {
  /**
   * What must be together when it is asked: single samples (`sample`), all drawings of a prompt (`group`), or everything that is judged at a
   * time (`batch`, the default). The first two are asked while the rest is still being drawn, and so must not depend on what else is there.
   */
  readonly sees?: 'sample' | 'group' | 'batch';
  score(samples: readonly Sample[], signal: AbortSignal): readonly RewardAnswer[] | Promise<readonly RewardAnswer[]>;
  /** Makes on the device what it judges with, before anything is judged. A plan calls it, to know what memory that takes. */
  reserve?(): Promise<void>;
  /** Gives back what it holds on the device, until it is asked again: nobody will ask for a while. One that has it is asked once everything is drawn. */
  rest?(): Promise<void>;
  /** Workers answer for it, whether or not the preset says so. */
  readonly byWorkers?: true;
  /** True when it can judge the prompts of any benchmark. Otherwise it is asked about the prompts that are trained on, and held-out files of those. */
  readonly judgesBenchmarks?: boolean;
}
