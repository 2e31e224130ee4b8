import type { PromptItem } from './dataset.ts';
import type { Sample } from './reward.ts';

/** The verdict on one sample of a benchmark. */
export interface Verdict {
  readonly pass: boolean;
  readonly why: string;
  readonly parts?: Readonly<Record<string, number>>;
}

/** A fixed list of prompts and the rule that says whether a drawing is right. */
export interface Benchmark {
  readonly tasks: readonly string[];
  /** The splits it has prompts for; both unless told. */
  readonly splits?: readonly ('seen' | 'heldout')[];
  /** `count` prompts of a split; the same arguments give the same prompts. */
  prompts(split: 'seen' | 'heldout', count: number, seed: number): readonly PromptItem[];
  judge(samples: readonly Sample[], signal: AbortSignal): readonly Verdict[] | Promise<readonly Verdict[]>;
  /** Numbers about all samples together, e.g. how varied they are; reported beside the pass rates. */
  measure?(samples: readonly Sample[]): Readonly<Record<string, number>>;
}
