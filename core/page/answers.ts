/** What pages are made from: answers of the live page's server, and what a report holds. The modules beside this file show it. */
import type { Score } from '../contracts/reward.ts';
import type { RunFailure, RunSession, SampleRecord } from '../io/records.ts';
import type { RunState } from '../io/run-state.ts';

/** A line of the list of runs. */
export interface RunSummary {
  /** The path below the folder that is watched, `.` for itself; how every request names the run. */
  readonly id: string;
  readonly name: string;
  readonly state: RunState | 'unreadable';
  readonly step?: number;
  /** That the recipe is to take. */
  readonly steps?: number;
  readonly secondsLeft?: number;
  readonly secondsPerStep?: number;
  readonly reward?: number;
  readonly passRate?: number;
  readonly loss?: number;
  readonly adapter?: string;
  readonly preset?: string;
  readonly startedAt?: string;
  readonly finishedAt?: string;
  readonly warning?: string;
  /** Why it ended early, or cannot be read. */
  readonly note?: string;
}

/** Metrics that are drawn together, and under which title. */
export interface ChartPlan {
  readonly title: string;
  readonly unit: string;
  /** Names of metrics; one that ends in `/` stands for those directly below it. */
  readonly metrics: readonly string[];
  readonly range?: readonly [number, number];
}

/** A metric as a page draws it: one value a bucket, `null` where there was none. */
export interface CurveData {
  readonly mean: readonly (number | null)[];
  /** Only where a bucket holds several steps. */
  readonly low?: readonly (number | null)[];
  readonly high?: readonly (number | null)[];
  readonly notFinite?: number;
}

export interface CurvesAnswer {
  /** Lines read so far. */
  readonly lines: number;
  /** Lines of metrics.ndjson that are no records and were left out. */
  readonly badLines: number;
  /** Lines of a bucket. */
  readonly width: number;
  /** The last step of each bucket, and when it was taken in seconds since 1970; `null` where lines say no time. */
  readonly steps: readonly number[];
  readonly times: readonly (number | null)[];
  readonly metrics: Readonly<Record<string, CurveData>>;
}

/** A message of log.txt that asks for attention. */
export interface Warning {
  /** Seconds since 1970. */
  readonly time: number;
  readonly text: string;
}

/** A session with its command as a shell reads it. */
export type SessionAnswer = Omit<RunSession, 'command'> & { readonly command: string };

/** A value of the resolved preset. */
export interface PresetLine {
  readonly text: string;
  /** `base/nano.yaml:12:3`, `default`, `--set steps=5`; absent where none was recorded. */
  readonly origin?: string;
}

/** Everything about a run but its numbers and drawings. */
export interface RunDetail {
  readonly summary: RunSummary;
  readonly sessions: readonly SessionAnswer[];
  readonly versions: Readonly<Record<string, string>>;
  readonly device: Readonly<Record<string, string>>;
  readonly seeds: Readonly<Record<string, number>>;
  readonly memory: Readonly<Record<string, number>>;
  readonly hashes: Readonly<Record<string, string>>;
  readonly commit?: string;
  readonly preset: readonly PresetLine[];
  readonly warnings: readonly Warning[];
  readonly checkpoints: readonly number[];
  /** Steps with drawings. */
  readonly sampleSteps: readonly number[];
  /** Targets of controllers, by the metric that is held. */
  readonly targets: Readonly<Record<string, number>>;
  readonly charts: readonly ChartPlan[];
}

/** A drawing without its codes; the picture is asked for by step and index. */
export type WatchedSample = Omit<SampleRecord, 'codes' | 'image'> & {
  readonly step: number;
  readonly index: number;
};

/** A picture of one prompt at one time it was evaluated. */
export interface Frame {
  readonly label: string;
  readonly step: number;
  /** Where the picture is. */
  readonly picture: string;
  readonly rationale: string;
  readonly pass: boolean;
  readonly why: string;
}

export interface RateAnswer {
  readonly rate: number;
  readonly low: number;
  readonly high: number;
  readonly total: number;
  /** `.63 [.57, .69]` */
  readonly text: string;
}

export interface RowAnswer {
  readonly task: string;
  readonly before?: RateAnswer;
  readonly after: RateAnswer;
  readonly change?: 'rose' | 'fell' | 'unclear';
  /** `+.15 [+.08, +.22]` of pictures that were paired; without an interval where they were not. */
  readonly difference?: string;
  readonly rose?: number;
  readonly fell?: number;
  /** The p-value of McNemar's test. */
  readonly chance?: string;
}

/** A picture with what was said of it. */
export interface PictureAnswer {
  readonly pass: boolean;
  readonly why: string;
  readonly rationale: string;
  readonly score: number;
  /** Where the picture is; absent when it was not kept. */
  readonly picture?: string;
  readonly scores: Readonly<Record<string, Score>>;
}

export interface PairAnswer {
  readonly prompt: string;
  readonly task: string;
  readonly isFlipped: boolean;
  readonly before?: PictureAnswer;
  readonly after: PictureAnswer;
}

/** Two evaluations of one benchmark and split, or one alone. */
export interface ComparisonAnswer {
  readonly benchmark: string;
  readonly split: string;
  /** Which prompts these are, among all that are shown with them. */
  readonly prompts: string;
  /** What is counted: `pass rate`. */
  readonly score: string;
  readonly sentence: string;
  /** `step 0 → 80`; empty where it says nothing. */
  readonly steps: string;
  /** Empty texts where there is one evaluation alone. */
  readonly labels: readonly [string, string];
  readonly rows: readonly RowAnswer[];
  /** Of the rewards that judged both. */
  readonly rewards: readonly { readonly name: string; readonly difference: string; readonly change: string }[];
  /** All evaluations of this benchmark and split, for the curve. */
  readonly curve: readonly (RateAnswer & { readonly label: string; readonly step: number })[];
  /** Measurements beside the score. */
  readonly extra: readonly { readonly name: string; readonly before?: number; readonly after: number }[];
  /** What a score rests on, and what is otherwise besides the weights. */
  readonly notes: readonly string[];
  /** What makes a score other than it should be. */
  readonly warnings: readonly string[];
  readonly flipped: { readonly better: number; readonly worse: number };
  readonly pairs: readonly PairAnswer[];
  readonly pairCount: number;
}

/** A run, or a stage of a chain, as a report shows it. */
export interface StageAnswer {
  readonly name: string;
  /** The result in a sentence. */
  readonly headline: string;
  /** Why the last session failed, where it did. */
  readonly failure?: RunFailure;
  readonly detail: Omit<RunDetail, 'summary'>;
  readonly curves: CurvesAnswer;
  readonly comparisons: readonly ComparisonAnswer[];
  /** The first command, to repeat the run; empty where none was recorded. */
  readonly command: string;
  /** Of the last step that saved any. */
  readonly samples: readonly (WatchedSample & { readonly picture?: string })[];
}

export interface ReportAnswer {
  readonly title: string;
  readonly headline: string;
  /** What the headline rests on; empty without evaluations. */
  readonly basis: string;
  readonly facts: readonly (readonly [name: string, value: string])[];
  readonly stages: readonly StageAnswer[];
}

/** Two sides as `compare` puts them beside each other. */
export interface SidesAnswer {
  readonly names: readonly [string, string];
  readonly comparisons: readonly ComparisonAnswer[];
  /** By comparison, what differs besides the weights. */
  readonly differences: readonly (readonly string[])[];
  /** Drawings that nobody judged, where there is no evaluation. */
  readonly drawings: readonly { readonly prompt: string; readonly sides: readonly [DrawingAnswer, DrawingAnswer] }[];
  readonly drawingCount: number;
  readonly command: string;
}

export interface DrawingAnswer {
  readonly rationale: string;
  readonly picture?: string;
}
