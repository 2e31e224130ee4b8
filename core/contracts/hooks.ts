import type { Example, PromptItem, Split } from './dataset.ts';
import type { Sample, Score } from './reward.ts';
import type { Verdict } from './benchmark.ts';

/** How a run ended. `stopped`: a signal or a guard asked for it and the last step was saved. */
export type Outcome = 'done' | 'stopped' | 'failed';

export interface StartEvent {
  readonly preset: string;
  /** The run directory, absolute. */
  readonly directory: string;
  readonly resume: boolean;
  /** Seed, components and their options, as `recipe.steps: 80`; lists and objects are JSON. Absent where nobody runs a preset. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>;
}

export interface FinishEvent {
  readonly outcome: Outcome;
  readonly directory: string;
  /** Set when the outcome is `failed`. */
  readonly error?: unknown;
  /** Of which no step has told. */
  readonly warnings?: readonly string[];
}

/** `reasongen sync` was asked for: no run is going. */
export interface SyncEvent {
  /** The run directory, absolute. */
  readonly directory: string;
}

/** What the next step will work on. SFT passes examples, GRPO passes prompts. */
export interface BatchEvent {
  readonly step: number;
  readonly items: readonly (PromptItem | Example)[];
}

/** Drawings of one step, not yet judged; `groupSize` neighbors belong to one prompt. */
export interface RolloutEvent {
  readonly step: number;
  readonly groupSize: number;
  readonly samples: readonly Sample[];
}

/** The judgement of one sample: `total` is the weighted sum of the rewards named in `scores`. */
export interface Judgement {
  readonly total: number;
  /** Of the rewards that apply to the sample and gave a verdict. */
  readonly scores: Readonly<Record<string, Score>>;
  /** Why a reward that was asked gave no verdict on this sample, by its name. */
  readonly withoutVerdict?: Readonly<Record<string, string>>;
  /** Rewards that failed on this sample, which the preset allows. */
  readonly failed?: readonly string[];
  /** No reward judged the sample: it is left out of its group and of every mean, and not trained on. */
  readonly unjudged?: true;
}

export interface RewardsEvent extends RolloutEvent {
  /** One per sample, in order. */
  readonly judgements: readonly Judgement[];
}

/** The tokens the model put behind a prompt: rationale, image start (where the run writes rationales), codes. */
export interface DrawnTokens {
  readonly rationaleIds: readonly number[];
  readonly codes: readonly number[];
  /** In nats, of every token behind the prompt. */
  readonly logProbability: ArrayLike<number>;
  readonly entropy: ArrayLike<number>;
}

export interface AdvantagesEvent extends RewardsEvent {
  /** One per sample, in order. */
  readonly advantages: readonly number[];
  /** One per sample, in order. */
  readonly drawn: readonly DrawnTokens[];
  /**
   * Factors of each sample's tokens in the policy objective, as many as it has log-probabilities: a handler gives them to make
   * some tokens count more (critical tokens) or not at all. 1 for all when absent.
   */
  readonly tokenWeights?: readonly (readonly number[])[];
}

/** Numbers of a finished step, as they go into the metrics file. */
export interface StepEvent {
  readonly step: number;
  readonly metrics: Readonly<Record<string, number>>;
  /** What the run has warned of since the step before. */
  readonly warnings?: readonly string[];
}

/** A finished benchmark pass. `verdicts` stand in the order of `samples`. */
export interface EvaluationEvent {
  readonly step: number;
  readonly benchmark: string;
  readonly split: Split;
  readonly samples: readonly Sample[];
  readonly verdicts: readonly Verdict[];
  readonly metrics: Readonly<Record<string, number>>;
}

type Eventually<Value> = Value | Promise<Value>;

/**
 * Every hook of a run. Handlers are handed copies that cannot be changed. Those that return a value replace the event for the next
 * handler (`undefined` keeps it); the others only look. What comes back is checked: as many entries as before, of the same samples,
 * and finite. A thrown error ends the run and names extension and hook.
 */
export interface HookHandlers {
  /** Once, before the recipe starts. */
  start(event: StartEvent): Eventually<void>;
  /** Once, always, with the outcome. */
  finish(event: FinishEvent): Eventually<void>;
  /** Before the model sees a batch. The number of items must stay. */
  batch(event: BatchEvent): Eventually<BatchEvent | undefined>;
  /** Samples are decoded, not yet rewarded. */
  rollout(event: RolloutEvent): Eventually<void>;
  /** After scoring; may return other judgements. */
  rewards(event: RewardsEvent): Eventually<RewardsEvent | undefined>;
  /** After grouping; may return other advantages. Plain arithmetic, hence synchronous. */
  advantages(event: AdvantagesEvent): AdvantagesEvent | undefined;
  /** The numbers of a step are final. */
  step(event: StepEvent): Eventually<void>;
  /** The numbers of a benchmark are final. */
  evaluation(event: EvaluationEvent): Eventually<void>;
  /** Outside of a run: send what could not be sent while it was going. What is thrown is shown. */
  sync(event: SyncEvent): Eventually<void>;
}

export type HookName = keyof HookHandlers;

/** `early` and `late` handlers run before and after all others; ties run in the order of the preset. */
export type HookOrder = 'early' | 'normal' | 'late';

/** What an extension component returns: handlers for the hooks it taps. */
export type Extension = {
  readonly [Name in HookName]?:
    | HookHandlers[Name]
    | { readonly order: HookOrder; readonly handler: HookHandlers[Name] };
};
