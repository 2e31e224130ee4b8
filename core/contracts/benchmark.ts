import type { PromptItem, Split } from './dataset.ts';
import type { PictureLayout } from './picture-layout.ts';
import type { Sample } from './reward.ts';

/** What a verdict is made of where a drawing can be right in part: an object, a color, the answer to a question. */
export interface Atom {
  /** Unique within its verdict. */
  readonly id: string;
  /** What it asks about: `object`, `color`, `relation`. */
  readonly kind: string;
  /** 0 to 1. */
  readonly score: number;
  /** What it would be by itself, where it depends on other atoms. */
  readonly raw?: number;
}

/** The verdict on one picture. Right or wrong is all that is needed. */
export interface Verdict {
  readonly pass: boolean;
  readonly why: string;
  /** 0 to 1, where a picture may be right in part; otherwise 1 or 0, as `pass` says. */
  readonly score?: number;
  readonly parts?: Readonly<Record<string, number>>;
  readonly atoms?: readonly Atom[];
  /** An answer could not be read and a stand-in counts. */
  readonly unparsed?: true;
}

/** A judge that a benchmark asks, as its results name it. */
export interface JudgeUse {
  /** What it is asked for: `detect`, `similarity`, … */
  readonly capability: string;
  readonly title: string;
  /** What makes its answers its answers: model, hash of its weights, thresholds, versions of libraries. */
  readonly fingerprint: Readonly<Record<string, string>>;
  /** Whether published scores of this benchmark were made with this very judge. */
  readonly isOfficial: boolean;
}

/** Why a picture has no verdict: it is not there, cannot be read, or its judge failed. It counts as wrong. */
export type PictureFailure = 'missing' | 'unreadable' | 'judge';

/** A picture with what was said of it. */
export interface JudgedPicture extends PromptItem {
  /** Number of its prompt. */
  readonly index: number;
  /** Its number among the pictures of the prompt. */
  readonly copy: number;
  readonly verdict: Verdict & { readonly score: number };
  readonly failure?: PictureFailure;
}

/** What a benchmark reports of all pictures together. */
export interface Summary {
  readonly headline: { readonly name: string; readonly value: number };
  /** What the best score is; 1 unless told. */
  readonly outOf?: number;
  /** Scores of parts of it, by name. */
  readonly scores: Readonly<Record<string, number>>;
  /** Scores it has, but not from these judges, and why. */
  readonly unavailable?: Readonly<Record<string, string>>;
}

/** A fixed list of prompts, and how drawings of them are counted. */
export interface BenchmarkPrompts {
  readonly tasks: readonly string[];
  /** The splits it has prompts for; both unless told. */
  readonly splits?: readonly Split[];
  /** How many prompts there are, where the list is fixed: all of them are taken unless fewer are asked for. */
  readonly size?: number;
  /** Pictures of each prompt; 1 unless told. */
  readonly samplesPerPrompt?: number;
  /** The published benchmark it is, and in what the chosen options depart from how that is scored. */
  readonly published?: { readonly name: string; readonly departures: readonly string[] };
  /** Hashes of its data and what else decides a score, by name. */
  readonly fingerprint?: Readonly<Record<string, string>>;
  /** Where pictures lie for its original scorer. */
  readonly layout?: PictureLayout;
  /** Where the picture of a prompt lies, for a benchmark that asks the model about pictures instead of having it draw them. */
  readonly picture?: (item: PromptItem) => string;
  /** Makes on the device what it looks with, before anything is judged. A plan calls it, to know what memory that takes. */
  reserve?(): Promise<void>;
  /** `count` prompts of a split, at most `size`; the same arguments give the same prompts. */
  prompts(split: Split, count: number, seed: number): readonly PromptItem[];
  /** Numbers about all samples together, e.g. how varied they are; reported beside the scores. */
  measure?(samples: readonly Sample[]): Readonly<Record<string, number>>;
  /** From verdicts to scores; absent: the mean, and the mean of every task. Pure: it is called again on resampled prompts. */
  aggregate?(pictures: readonly JudgedPicture[]): Summary;
}

/** Looks at pictures itself. */
export interface DirectBenchmark extends BenchmarkPrompts {
  judge(samples: readonly Sample[], signal: AbortSignal): readonly Verdict[] | Promise<readonly Verdict[]>;
}

/** Asks judges: what they say of a picture is kept, and the verdict is a pure function of it. */
export interface EvidenceBenchmark extends BenchmarkPrompts {
  /** The judges it will ask; called before anything is drawn. Throws when one it needs is not there. */
  judges(): Promise<readonly JudgeUse[]>;
  /** What the judges say of one picture, as plain JSON. */
  gather(sample: Sample, signal: AbortSignal): Promise<unknown>;
  /** Pure. `evidence` is what `gather` gave for a picture of this prompt. */
  verdict(item: PromptItem, evidence: unknown): Verdict;
}

/** Prompts alone: the rewards of the preset are the judges. A drawing passes when their total is the best there is. */
export interface RewardedBenchmark extends BenchmarkPrompts {
  readonly judgedByRewards: true;
}

export type Benchmark = DirectBenchmark | EvidenceBenchmark | RewardedBenchmark;
