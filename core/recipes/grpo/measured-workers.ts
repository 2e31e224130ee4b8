/** What workers of other adapters have drawn: by how much their log-probabilities differ from what the scorer of the run says of the same tokens. */
import type { RunContext } from '../../contracts/recipe.ts';
import type { Drawer } from '../../drawing/drawer.ts';
import { at } from '../../tensor/at.ts';
import { largestDifference, type Completion } from './completions.ts';
import type { GrpoOptions } from './options.ts';

export class MeasuredWorkers {
  private readonly context: Pick<RunContext, 'log'>;
  private readonly choice: GrpoOptions;
  /** Largest difference of each so far. */
  private readonly largest = new Map<string, number>();

  constructor(context: Pick<RunContext, 'log'>, choice: GrpoOptions) {
    this.context = context;
    this.choice = choice;
  }

  /** Measures drawings that the policy has just made, says what is new, and refuses workers past the tolerance. Returns those. */
  async measure(
    completions: readonly Completion[],
    noted: readonly ArrayLike<number>[],
    scored: readonly ArrayLike<number>[],
    drawer: Drawer,
    step: number,
  ): Promise<ReadonlySet<string>> {
    const { log } = this.context;
    const { ratioTolerance } = this.choice;
    const refused = new Set<string>();
    const workers = new Set(completions.flatMap(({ sequence: { drawnBy } }) => drawnBy ?? []));
    for (const worker of workers) {
      const own = [...completions.keys()].filter((index) => completions[index]?.sequence.drawnBy === worker);
      const of = <Value>(list: readonly Value[]): Value[] => own.map((index) => at(list, index));
      const difference = largestDifference(of(completions), of(noted), of(scored), this.choice);
      const before = this.largest.get(worker);
      if (before === undefined || difference > before) {
        this.largest.set(worker, difference);
        log.info(`step ${step}: worker ${worker}: sampler and scorer differ by at most ${difference.toExponential(2)}`);
      }
      if (difference <= ratioTolerance) continue;
      const why = `its sampler and the scorer of the run differ by ${difference.toExponential(2)} in the log-probability of a token (tolerance ${ratioTolerance})`;
      log.warn(`step ${step}: worker ${worker} is left out, with the groups that it drew: ${why}`);
      refused.add(worker);
      await drawer.refuse(worker, why);
    }
    return refused;
  }
}
