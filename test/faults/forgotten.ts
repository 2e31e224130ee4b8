/** A program that forgot a flush or a rename, which the walk must find out. */
import type { FaultPlan } from '../../core/faults.ts';
import type { Runner } from './runner.ts';
import { small } from './scenarios.ts';
import { survey, tryFault } from './walk.ts';

export interface Forgotten {
  readonly total: number;
  /** What went wrong without it, by its number. */
  readonly caught: ReadonlyMap<number, string>;
  readonly missed: readonly number[];
}

/** Leaves out one effect of the small run, each in turn; the power fails behind it, at each of the next effects that could lose it. */
export async function forgotten(
  without: FaultPlan['point'],
  runner: Runner,
  isChosen: (number: number) => boolean = () => true,
): Promise<Forgotten> {
  const known = await survey(small, runner);
  const losses = known.faults.filter(
    ({ point, kind }) => kind === 'lost' && (point === 'remove' || point === 'rename' || point === 'end'),
  );
  // What is never named is missed without any loss as well.
  const ends: FaultPlan[] = [{ point: 'rename', occurrence: 10 ** 6, kind: 'lost' }, ...losses];
  const total = known.passes[without] ?? 0;
  const caught = new Map<number, string>();
  const missed: number[] = [];
  for (let number = 1; number <= total; number++) {
    if (!isChosen(number)) continue;
    let wrong: string | undefined;
    for (const end of ends) {
      wrong = await tryFault(small, { ...end, without, withoutOccurrence: number }, known, runner);
      if (wrong !== undefined) break;
    }
    if (wrong === undefined) missed.push(number);
    else caught.set(number, wrong);
  }
  return { total, caught, missed };
}
