/** What the runs of a sweep have come to: each variant against the first, paired picture by picture over all seeds that both have. */
import { join } from 'node:path';
import type { Evaluation } from '../contracts/evaluation.ts';
import { groupBy } from '../evaluation/group-by.ts';
import {
  changeOf,
  meanDifference,
  pairDrawings,
  pairedDifference,
  type PairedDifference,
} from '../evaluation/paired.ts';
import { runsIn } from '../io/chain.ts';
import { readEvaluations } from '../io/evaluation-records.ts';
import { readMetrics } from '../io/metrics.ts';
import { mean } from '../rl/statistics.ts';
import { scoreName, splitName } from '../report/summary.ts';
import type { SweepRecord, SweepRun } from './record.ts';

/** What one run has left. */
export interface RunResult extends SweepRun {
  /** By step. */
  readonly evaluations: readonly Evaluation[];
  /** Mean reward of the last tenth of the steps; undefined where there is none. */
  readonly reward: number | undefined;
}

/** A difference over the runs of several seeds. */
export interface SeededDifference extends PairedDifference {
  /** Seeds whose own difference has the sign of the whole, of those that count. */
  readonly agreeing: number;
  readonly seeds: number;
  /** The interval leaves out 0 and every seed agrees. */
  readonly isClear: boolean;
}

export interface VariantResult {
  readonly name: string;
  /** Mean score of each seed's last evaluation, in the order of the seeds; undefined where a run has none yet. */
  readonly scores: readonly (number | undefined)[];
  /** Last evaluation against the first one of the same run. */
  readonly gain: SeededDifference | undefined;
  /** Against the first variant. */
  readonly difference: SeededDifference | undefined;
}

export interface BenchmarkResult {
  readonly benchmark: string;
  readonly split: string;
  /** What the scores are called. */
  readonly score: string;
  /** Pictures of one evaluation. */
  readonly pictures: number;
  readonly variants: readonly VariantResult[];
}

/** Reads what each run of a sweep has left so far. */
export async function readResults(directory: string, { runs }: SweepRecord): Promise<RunResult[]> {
  return Promise.all(
    runs.map(async (run): Promise<RunResult> => {
      // Of a chain the stage that was started last.
      const path = (await runsIn(join(directory, run.folder))).at(-1);
      if (path === undefined) return { ...run, evaluations: [], reward: undefined };
      const { metrics } = await readMetrics(join(path, 'metrics.ndjson'));
      const rewards = metrics.flatMap(({ reward }) => (typeof reward === 'number' ? [reward] : []));
      const last = rewards.slice(-Math.ceil(rewards.length / 10));
      return { ...run, evaluations: await readEvaluations(path), reward: last.length > 0 ? mean(last) : undefined };
    }),
  );
}

/** By benchmark and split, held-out prompts first. */
export function compareVariants({ variants, seeds }: SweepRecord, results: readonly RunResult[]): BenchmarkResult[] {
  const kinds = groupBy(
    results.flatMap(({ evaluations }) => evaluations),
    ({ benchmark, split }) => JSON.stringify([benchmark, split]),
  );
  const rank = (split: string): number => (split === 'heldout' ? 0 : 1);
  return [...kinds.values()]
    .flatMap(([some]): BenchmarkResult[] => {
      if (some === undefined) return [];
      const { benchmark, split, count } = some;
      const all = (variant: number, seed: number): Evaluation[] =>
        results
          .filter((each) => each.variant === variant && each.seed === seed)
          .flatMap(({ evaluations }) => evaluations)
          .filter((each) => each.benchmark === benchmark && each.split === split);
      const last = (variant: number, seed: number): Evaluation | undefined => all(variant, seed).at(-1);
      const first = (variant: number, seed: number): Evaluation | undefined => all(variant, seed).slice(0, -1)[0];
      const rows = variants.map(({ name }, variant): VariantResult => ({
        name,
        scores: seeds.map((seed) => scoreOf(last(variant, seed))),
        gain: seededDifference(seeds.map((seed) => [first(variant, seed), last(variant, seed)])),
        difference:
          variant === 0 ? undefined : seededDifference(seeds.map((seed) => [last(0, seed), last(variant, seed)])),
      }));
      return [{ benchmark, split: splitName(split), score: scoreName(some), pictures: count, variants: rows }];
    })
    .sort((a, b) => rank(a.split) - rank(b.split));
}

/**
 * The pairs of all seeds together: a prompt is drawn by the bootstrap with the pictures of every seed. That covers which prompts were asked, not
 * what training with another seed would give; so a difference is clear only if every seed has its sign, too.
 */
function seededDifference(
  sides: readonly (readonly [Evaluation | undefined, Evaluation | undefined])[],
): SeededDifference | undefined {
  const bySeed = sides.map(([before, after]) => pairDrawings(before?.verdicts ?? [], after?.verdicts ?? []));
  const counted = bySeed.filter((pairs) => pairs.length > 0);
  if (counted.length === 0) return undefined;
  const whole = pairedDifference(counted.flat());
  const signs = counted.map((pairs) => Math.sign(meanDifference(pairs)));
  const agreeing = signs.filter((sign) => sign !== 0 && sign === Math.sign(whole.difference)).length;
  const isClear = changeOf(whole) !== 'unclear' && agreeing === counted.length;
  return { ...whole, agreeing, seeds: counted.length, isClear };
}

function scoreOf(evaluation: Evaluation | undefined): number | undefined {
  if (evaluation === undefined) return undefined;
  const { headline, overall } = evaluation;
  return headline?.value ?? overall.passes / Math.max(1, overall.total);
}
