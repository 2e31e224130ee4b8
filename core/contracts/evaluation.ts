import type { Atom, JudgeUse, PictureFailure } from './benchmark.ts';
import type { Score } from './reward.ts';

export interface PassCount {
  readonly passes: number;
  readonly total: number;
}

/** A number with its 95 % interval. */
export interface Estimate {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** One judged drawing of an evaluation. */
export interface EvaluationSample {
  readonly prompt: string;
  readonly task: string;
  /** Empty when the run writes none. */
  readonly rationale: string;
  /** A PNG in base64. */
  readonly image: string;
  readonly pass: boolean;
  readonly why: string;
  /** By the name of the reward; empty when the run has none. */
  readonly scores: Readonly<Record<string, Score>>;
}

/** A line of `evaluations/*.jsonl`: what was said of one picture. There is one for every picture, in the order of the prompts. */
export interface VerdictRecord {
  /** Number of the prompt, and of the picture among those of the prompt. */
  readonly index: number;
  readonly copy: number;
  readonly prompt: string;
  readonly task: string;
  readonly pass: boolean;
  /** 0 to 1. */
  readonly score: number;
  readonly why: string;
  readonly parts?: Readonly<Record<string, number>>;
  readonly atoms?: readonly Atom[];
  readonly unparsed?: true;
  readonly failure?: PictureFailure;
  readonly rationale?: string;
  /** Where the picture lies, relative to the directory of the run; absent when it was not kept. */
  readonly picture?: string;
  readonly scores?: Readonly<Record<string, Score>>;
}

/** How many there were of what. */
export interface EvaluationCounts {
  readonly prompts: number;
  /** Pictures there should be. */
  readonly images: number;
  readonly missing: number;
  readonly unreadable: number;
  readonly judgeErrors: number;
  readonly unparsed: number;
}

/** The record of one pass over a benchmark, as it lies in `evaluations/`; the report is made from these. */
export interface Evaluation {
  /** `before`, `after`, `step-100`, …: unique within a run for a benchmark and a split. */
  readonly label: string;
  readonly benchmark: string;
  /** Finished training steps. */
  readonly step: number;
  /** `heldout`: never trained on; `seen`: combinations that training may use; `pool`: the very prompts trained on. */
  readonly split: string;
  /** Of prompts and drawings. */
  readonly seed: number;
  /** Prompts. */
  readonly count: number;
  /** Pictures of each; 1 where a record does not say. */
  readonly samplesPerPrompt?: number;
  /** How it was drawn: temperatures, guidance, …; only evaluations drawn alike are compared. */
  readonly sampling: Readonly<Record<string, unknown>>;
  /** What drew it: hashes of weights and codec, by name. */
  readonly model?: Readonly<Record<string, string>>;
  /** With the judges in it where they are not those of published scores: `GenEval (RT-DETRv2 + CLIP B/32)`. */
  readonly title?: string;
  readonly headline?: Estimate & { readonly name: string };
  /** The headline without the pictures that have no verdict, where there are any. */
  readonly headlineOfJudged?: number;
  /** What the best headline and sub-score is; 1 unless told. */
  readonly outOf?: number;
  readonly subScores?: Readonly<Record<string, Estimate>>;
  /** Scores that could not be had, and why. */
  readonly unavailable?: Readonly<Record<string, string>>;
  readonly counts?: EvaluationCounts;
  readonly judges?: readonly JudgeUse[];
  /** Of the benchmark's data and protocol. */
  readonly fingerprint?: Readonly<Record<string, string>>;
  /** Whether it may stand beside published scores, and if not, why; absent where nothing is published. */
  readonly comparable?: { readonly yes: boolean; readonly because: readonly string[] };
  readonly overall: PassCount;
  /** In the order reports list them. */
  readonly tasks: Readonly<Record<string, PassCount>>;
  /** Further measurements by name, e.g. `distinctLayouts`, `planAgreement`. */
  readonly extra: Readonly<Record<string, number>>;
  /** All or some of the drawings, in the order of the prompts. */
  readonly samples: readonly EvaluationSample[];
  /** Of every picture; in a file of their own, and absent in records that have none. */
  readonly verdicts?: readonly VerdictRecord[];
}
