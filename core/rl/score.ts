/** Samples to judgements: every reward judges all samples, what it answers is checked where it enters, and the weighted sum is the total. */
import { setTimeout as wait } from 'node:timers/promises';
import { blamePlace } from '../blame.ts';
import type { Judgement } from '../contracts/hooks.ts';
import type { NamedReward } from '../contracts/recipe.ts';
import type { RewardAnswer, Sample, Score } from '../contracts/reward.ts';
import { ReasongenError } from '../errors.ts';
import { frozenCopy, frozenHint } from '../frozen.ts';

/** A verdict by sample; `undefined` where the reward does not apply or gave none. */
type Column = readonly (Score | undefined)[];

/**
 * Lets every reward judge the samples at the same time and adds up their weighted values. Each is handed its own frozen copies.
 * Throws BAD_SCORES when a reward returns the wrong number of scores or one that is not finite, REWARD_FAILED when it
 * throws and its `onError` is `fail`; both name the reward. When one fails, the others are told to stop.
 * @param warn told of a failure that the preset allows
 */
export async function scoreSamples(
  rewards: readonly NamedReward[],
  samples: readonly Sample[],
  signal: AbortSignal,
  warn: (message: string) => void = () => {},
): Promise<Judgement[]> {
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const columns = await Promise.all(
    rewards.map(async (named) => {
      try {
        return { ...named, ...(await judgedBy(named, samples, either, warn)) };
      } catch (error) {
        failed.abort(error);
        throw error;
      }
    }),
  );
  const failures = columns.filter(({ hasFailed }) => hasFailed).map(({ name }) => name);
  const isDropped = columns.some(({ hasFailed, onError }) => hasFailed && onError === 'drop');
  return samples.map((_, index): Judgement => {
    const scores: Record<string, Score> = {};
    let total = 0;
    for (const { name, weight, judged } of columns) {
      const score = judged[index];
      if (score === undefined) continue;
      scores[name] = score;
      total += weight * score.value;
    }
    const isUnjudged = rewards.length > 0 && (isDropped || Object.keys(scores).length === 0);
    return {
      total,
      scores,
      ...(failures.length > 0 && { failed: failures }),
      ...(isUnjudged && { unjudged: true as const }),
    };
  });
}

/** What one reward says, or that it failed where the preset allows it. */
async function judgedBy(
  named: NamedReward,
  samples: readonly Sample[],
  signal: AbortSignal,
  warn: (message: string) => void,
): Promise<{ readonly judged: Column; readonly hasFailed: boolean }> {
  const { onError = 'fail', retries = 0 } = named;
  for (let attempt = 0; ; attempt++) {
    try {
      return { judged: await askReward(named, samples, signal), hasFailed: false };
    } catch (error) {
      signal.throwIfAborted();
      if (attempt < retries) {
        const seconds = backoffSeconds(attempt);
        warn(`${placeOf(named)} failed and is asked again in ${seconds.toFixed(1)} s: ${reasonOfFailure(error)}`);
        await wait(seconds * 1000, undefined, { signal });
        continue;
      }
      if (onError === 'fail') throw error;
      const what = onError === 'drop' ? 'the samples are left out of this step' : 'the total is made without it';
      warn(`${placeOf(named)} failed, ${what}: ${reasonOfFailure(error)}`);
      return { judged: samples.map(() => undefined), hasFailed: true };
    }
  }
}

/** Doubled with every attempt, half of it by chance, so that many callers do not come back together. */
function backoffSeconds(attempt: number): number {
  return Math.min(30, 0.5 * 2 ** attempt) * (0.5 + Math.random() / 2);
}

function reasonOfFailure(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function placeOf({ name, plugin }: NamedReward): string {
  return plugin === undefined ? `reward "${name}"` : `reward "${name}" of plugin "${plugin}"`;
}

async function askReward(named: NamedReward, samples: readonly Sample[], signal: AbortSignal): Promise<Column> {
  let answers: readonly RewardAnswer[];
  try {
    answers = await named.reward.score(frozenCopy(samples), signal);
  } catch (cause) {
    if (cause instanceof ReasongenError) throw cause;
    const message = `it failed while judging ${samples.length} samples: ${reasonOfFailure(cause)}`;
    throw new ReasongenError({
      code: 'REWARD_FAILED',
      message,
      place: blamePlace(placeOf(named), cause),
      hint: frozenHint(cause) ?? 'mend the reward and resume the run; --debug shows where it failed',
      cause,
    });
  }
  const bad = (message: string): ReasongenError =>
    new ReasongenError({
      code: 'BAD_SCORES',
      message,
      place: placeOf(named),
      hint: 'a reward returns one finite score per sample, in the order of the samples or with the id of each; null where it does not apply',
    });
  if (!Array.isArray(answers)) throw bad('it did not return a list of scores');
  if (answers.length !== samples.length)
    throw bad(`it returned ${answers.length} scores for ${samples.length} samples`);
  return inOrder(answers, samples, bad).map((answer, index) => {
    const sample = samples[index];
    const which = `sample ${index} ("${sample?.prompt}", id ${sample?.id})`;
    return answer === null ? undefined : checkedScore(answer, which, bad);
  });
}

/** Scores with ids go to the samples of these ids, whatever their order; the others stand in the order of the samples. */
function inOrder(
  answers: readonly RewardAnswer[],
  samples: readonly Sample[],
  bad: (message: string) => ReasongenError,
): RewardAnswer[] {
  const idOf = (answer: RewardAnswer): string | undefined =>
    typeof answer === 'object' && answer !== null ? answer.id : undefined;
  const named = answers.filter((answer) => idOf(answer) !== undefined);
  // Holes of a sparse list count as answers, too: they are refused one by one.
  if (named.length === 0) return Array.from(answers);
  if (named.length < answers.filter((answer) => answer !== null).length)
    throw bad('some of its scores name the id of their sample and some do not');
  const byId = new Map(named.map((answer) => [idOf(answer), answer]));
  const lost = [...byId.keys()].find((id) => !samples.some((sample) => sample.id === id));
  if (lost !== undefined) throw bad(`it returned a score for a sample "${lost}" that it was not asked about`);
  if (byId.size < named.length) throw bad('it returned two scores for one sample');
  return samples.map(({ id }) => byId.get(id) ?? null);
}

function checkedScore(answer: number | Score, which: string, bad: (message: string) => ReasongenError): Score {
  const score = typeof answer === 'number' ? { value: answer } : answer;
  if (typeof score?.value !== 'number' || !Number.isFinite(score.value))
    throw bad(`its score for ${which} is ${written(answer)}`);
  if (score.why !== undefined && typeof score.why !== 'string')
    throw bad(`its explanation for ${which} is ${written(score.why)} and no text`);
  if (score.parts !== undefined && (typeof score.parts !== 'object' || score.parts === null))
    throw bad(`the parts of its score for ${which} are ${written(score.parts)}; parts are numbers by name`);
  for (const [part, value] of Object.entries(score.parts ?? {}))
    if (typeof value !== 'number' || !Number.isFinite(value))
      throw bad(`part "${part}" of its score for ${which} is ${written(value)}; a part is a finite number`);
  return frozenCopy(score);
}

/** A value that is no finite number, as a person would write it. */
function written(answer: unknown): string {
  if (typeof answer === 'number' || answer === undefined) return String(answer);
  if (typeof answer === 'bigint') return `${answer}n`;
  const value: unknown = typeof answer === 'object' && answer !== null && 'value' in answer ? answer.value : answer;
  if (typeof value === 'bigint') return `${value}n`;
  return typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? typeof value);
}
