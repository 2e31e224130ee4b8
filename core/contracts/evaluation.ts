import type { Score } from './reward.ts';

export interface PassCount {
  readonly passes: number;
  readonly total: number;
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
  /** Prompts, one drawing each. */
  readonly count: number;
  /** How it was drawn: temperatures, guidance, …; only evaluations drawn alike are compared. */
  readonly sampling: Readonly<Record<string, unknown>>;
  readonly overall: PassCount;
  /** In the order reports list them. */
  readonly tasks: Readonly<Record<string, PassCount>>;
  /** Further measurements by name, e.g. `distinctLayouts`, `planAgreement`. */
  readonly extra: Readonly<Record<string, number>>;
  /** All or some of the drawings, in the order of the prompts. */
  readonly samples: readonly EvaluationSample[];
}
