import type { Weights } from './backbone.ts';

/** The model of a run on its device, as the recipe has it. */
export interface RunningModel {
  /** What draws: the policy, where one is trained. It is trained in place: what is read here changes. */
  readonly weights: Weights;
  /** What evaluations draw with, where that is not the policy as it is: its average. */
  readonly evaluated?: Weights;
  /** What it began with, where that is still there: below adapters, or because nothing is trained. */
  readonly start?: Weights;
  /** The path of that, `random` for seeded ones, undefined for fresh ones. */
  readonly begunWith: string | undefined;
  /**
   * Gives back the memory that its programs work in, until one of them is run again; absent where nothing is trained. What it returns takes the
   * memory again at once.
   */
  readonly rest?: () => () => void;
}
