/** What rewards said of many samples, as numbers by name. Arithmetic on the host, no device. */
import type { Judgement } from '../contracts/hooks.ts';
import type { NamedReward } from '../contracts/recipe.ts';
import type { Score } from '../contracts/reward.ts';
import { bestTotal } from './combine.ts';
import type { RewardEffort } from './scoring.ts';
import { deviation, mean } from './statistics.ts';

/** Rewards are 1 at best; rounding must not fail a drawing. */
const tolerance = 1e-9;

/**
 * Of every reward: mean (`reward/NAME`), standard deviation, share of values of 1 and more (`passRate`), share of samples without a usable
 * answer (`invalidShare`: failed, unparsed or without a verdict), and the mean of each of its parts. Samples it does not apply to are left out; one that
 * applied to none has no numbers but its share of invalid answers.
 */
export function rewardMetrics(
  rewards: readonly NamedReward[],
  judgements: readonly Judgement[],
): Record<string, number> {
  return Object.assign({}, ...rewards.map(({ name }) => metricsOf(name, judgements))) as Record<string, number>;
}

function metricsOf(name: string, judgements: readonly Judgement[]): Record<string, number> {
  const scores = judgements.flatMap(({ scores: all }) => all[name] ?? []);
  const invalid = scores.filter(({ unparsed }) => unparsed === true).length;
  const failed = judgements.filter(
    ({ failed: names, withoutVerdict }) => names?.includes(name) === true || withoutVerdict?.[name] !== undefined,
  ).length;
  const asked = scores.length + failed;
  const invalidShare = { [`reward/${name}/invalidShare`]: asked === 0 ? 0 : (invalid + failed) / asked };
  if (scores.length === 0) return invalidShare;
  const values = scores.map(({ value }) => value);
  return {
    [`reward/${name}`]: mean(values),
    [`reward/${name}/std`]: deviation(values),
    [`reward/${name}/passRate`]: mean(values.map((value) => Number(value >= 1 - tolerance))),
    ...invalidShare,
    ...partMeans(name, scores),
  };
}

function partMeans(name: string, scores: readonly Score[]): Record<string, number> {
  const byPart = new Map<string, number[]>();
  for (const { parts } of scores)
    for (const [part, value] of Object.entries(parts ?? {})) byPart.set(part, [...(byPart.get(part) ?? []), value]);
  return Object.fromEntries([...byPart].map(([part, values]) => [`reward/${name}/parts/${part}`, mean(values)]));
}

/** Whether a total is the best that the rewards can give together. */
export function isBest(rewards: readonly NamedReward[], total: number): boolean {
  return total >= bestTotal(rewards) - tolerance;
}

/** Mean of the totals, and the share of samples with the best total there is. Of the samples that were judged; where none was, there are no numbers. */
export function totalMetrics(
  rewards: readonly NamedReward[],
  judgements: readonly Judgement[],
): Record<string, number> {
  const judged = judgements.filter(({ unjudged }) => unjudged !== true);
  if (judged.length === 0) return {};
  return {
    reward: mean(judged.map(({ total }) => total)),
    passRate: mean(judged.map(({ total }) => Number(isBest(rewards, total)))),
  };
}

/** How long each reward took, in seconds, and which share of its questions was answered already; of those that asked any. */
export function effortMetrics(efforts: readonly (readonly RewardEffort[])[]): Record<string, number> {
  const metrics: Record<string, number> = {};
  for (const name of new Set(efforts.flat().map((each) => each.name))) {
    const own = efforts.flat().filter((each) => each.name === name);
    const questions = own.reduce((sum, each) => sum + each.questions, 0);
    metrics[`secondsJudging/${name}`] = own.reduce((sum, { seconds }) => sum + seconds, 0);
    if (questions > 0) metrics[`reward/${name}/cacheShare`] = own.reduce((sum, { kept }) => sum + kept, 0) / questions;
  }
  return metrics;
}
