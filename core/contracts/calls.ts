import type { Image } from './image.ts';

/** What an answer depends on. Equal ones are asked once, and the answer is kept. */
export interface Question {
  readonly image?: Image;
  /** What answers: model, template, version. */
  readonly fingerprint: Readonly<Record<string, string>>;
  /** Everything else that is asked; plain JSON. */
  readonly asked: unknown;
}

/**
 * Calls of a component to something outside of the run, made as its entry in the preset says: a few at a time, within a time and a budget,
 * again after a failure that may pass (`TryAgainError`).
 */
export interface Calls {
  /**
   * Makes a call. `work` gets a signal that is aborted when the run is given up or the call takes too long, and returns plain JSON where it is kept.
   * @param question what the answer depends on; without one nothing is kept
   */
  run<Answer>(
    work: (signal: AbortSignal) => Promise<Answer>,
    signal: AbortSignal,
    question?: Question,
  ): Promise<Answer>;
  /** Notes tokens that a call has read and written. */
  spend(tokens: number): void;
}
