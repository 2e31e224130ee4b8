/** Judges, rewards and benchmarks that look with a model have it on the device before anything is asked, in a plan and in a run alike. */
import type { RunComponents } from '../contracts/recipe.ts';

type Lookers = Pick<RunComponents, 'judges' | 'rewards' | 'benchmarks'>;

/** Whether any of them may write with the model of the run. */
export function looksWithModel(run: Lookers): boolean {
  return allOf(run).some((each) => each.reserve !== undefined);
}

export async function reserveJudges(run: Lookers): Promise<void> {
  for (const each of allOf(run)) await each.reserve?.();
}

function allOf({ judges, rewards, benchmarks }: Lookers): readonly { reserve?(): Promise<void> }[] {
  return [...judges, ...rewards.map(({ reward }) => reward), ...benchmarks.map(({ benchmark }) => benchmark)];
}
