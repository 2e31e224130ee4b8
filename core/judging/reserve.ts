/** Judges, rewards and benchmarks that look with a model have it on the device before anything is asked, in a plan and in a run alike. */
import type { RunComponents } from '../contracts/recipe.ts';

type Lookers = Pick<RunComponents, 'judges' | 'rewards' | 'benchmarks'>;

/** Whether any of them may write with the model of the run. */
export function looksWithModel(run: Lookers): boolean {
  return allOf(run).some((each) => each.reserve !== undefined);
}

/** Those that come and go leave again, so that a plan has seen them. */
export async function reserveJudges(run: Lookers): Promise<void> {
  for (const each of allOf(run)) {
    await each.reserve?.();
    await each.rest?.();
  }
}

/** Nobody will ask for a while: those that come and go leave the device. */
export async function restJudges(run: Lookers): Promise<void> {
  for (const each of allOf(run)) await each.rest?.();
}

/** Whether any of them comes and goes: everything is then drawn before anything is judged. */
export function comeAndGo(run: Lookers): boolean {
  return allOf(run).some((each) => each.rest !== undefined);
}

function allOf({
  judges,
  rewards,
  benchmarks,
}: Lookers): readonly { reserve?(): Promise<void>; rest?(): Promise<void> }[] {
  return [...judges, ...rewards.map(({ reward }) => reward), ...benchmarks.map(({ benchmark }) => benchmark)];
}
