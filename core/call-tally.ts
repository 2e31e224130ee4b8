/** Who asked how much: calls are counted for the reward or benchmark in whose name they are made, whoever makes them. */
import { AsyncLocalStorage } from 'node:async_hooks';

export interface CallTally {
  /** Questions, whether or not they had to be asked of anybody. */
  questions: number;
  /** Of these, answered from what was kept or by an equal question under way. */
  kept: number;
  /** Tokens that calls have read and written, where they are counted. */
  tokens: number;
}

const current = new AsyncLocalStorage<CallTally>();

/** Runs `work`, and returns what it gave with the questions that were asked meanwhile in its name. */
export async function tallied<Value>(
  work: () => Promise<Value>,
): Promise<{ readonly value: Value; readonly tally: Readonly<CallTally> }> {
  const tally = { questions: 0, kept: 0, tokens: 0 };
  return { value: await current.run(tally, work), tally };
}

export function countQuestion(): void {
  const tally = current.getStore();
  if (tally !== undefined) tally.questions += 1;
}

export function countKept(): void {
  const tally = current.getStore();
  if (tally !== undefined) tally.kept += 1;
}

/** What was counted elsewhere in the same name. */
export function countAll({ questions, kept, tokens }: Readonly<CallTally>): void {
  const tally = current.getStore();
  if (tally === undefined) return;
  tally.questions += questions;
  tally.kept += kept;
  tally.tokens += tokens;
}

export function countTokens(tokens: number): void {
  const tally = current.getStore();
  if (tally !== undefined) tally.tokens += tokens;
}
