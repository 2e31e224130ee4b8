/** Resampling of prompts: pictures of one prompt are alike, so a prompt with all its pictures is drawn or is not. */
import { philox } from '../tensor/philox.ts';
import { groupBy } from './group-by.ts';

/**
 * Pictures of one prompt. Prompts are drawn anew within their stratum, so that every task keeps its number of prompts. One prompt tells nothing of
 * how far others of its stratum may differ: strata of one are drawn from as if they were one stratum.
 */
export interface PromptCluster<Item> {
  readonly stratum: string;
  readonly items: readonly Item[];
}

export interface BootstrapOptions {
  readonly seed?: number;
  readonly resamples?: number;
}

/** Lower and upper end of a 95 % interval. */
export type Ends = readonly [low: number, high: number];

const defaultResamples = 1000;

/**
 * Percentile intervals (95 %) of every number that `statistic` gives, by its name: prompts are drawn with replacement within their strata.
 * A name that some resamples do not give has the interval of the others. The same arguments give the same intervals.
 */
export function bootstrapPrompts<Item>(
  clusters: readonly PromptCluster<Item>[],
  statistic: (drawn: readonly PromptCluster<Item>[]) => Readonly<Record<string, number>>,
  { seed = 0, resamples = defaultResamples }: BootstrapOptions = {},
): Record<string, Ends> {
  const own = [...groupBy(clusters, ({ stratum }) => stratum).values()];
  const single = own.filter(({ length }) => length === 1).flat();
  const strata = [...own.filter(({ length }) => length > 1), ...(single.length > 0 ? [single] : [])];
  const values = new Map<string, number[]>();
  for (let round = 0; round < resamples; round++) {
    const below = randomIndices(seed, round);
    const drawn = strata.flatMap((stratum) => stratum.flatMap(() => stratum[below(stratum.length)] ?? []));
    for (const [name, value] of Object.entries(statistic(drawn))) {
      const list = values.get(name);
      if (list === undefined) values.set(name, [value]);
      else list.push(value);
    }
  }
  return Object.fromEntries([...values].map(([name, list]) => [name, middleShare(list)]));
}

/** Random whole numbers below a bound, from a stream of their own for every round. */
function randomIndices(seed: number, round: number): (bound: number) => number {
  let words: readonly number[] = [];
  let taken = 0;
  return (bound) => {
    if (taken % 4 === 0) words = philox([taken / 4, round, 0, 0], [seed, 0x626f6f74]);
    return Math.floor(((words[taken++ % 4] ?? 0) / 2 ** 32) * bound);
  };
}

/** Where the middle 95 % of the values lie, by linear interpolation between neighbors. */
function middleShare(values: readonly number[]): Ends {
  const sorted = values.toSorted((a, b) => a - b);
  return [quantile(sorted, 0.025), quantile(sorted, 0.975)];
}

function quantile(sorted: readonly number[], share: number): number {
  const place = share * (sorted.length - 1);
  const below = sorted[Math.floor(place)] ?? Number.NaN;
  const above = sorted[Math.ceil(place)] ?? below;
  return below + (above - below) * (place - Math.floor(place));
}
