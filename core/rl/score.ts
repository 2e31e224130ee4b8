import type { Judgement } from '../contracts/hooks.ts';
import type { NamedReward } from '../contracts/recipe.ts';
import type { Sample, Score } from '../contracts/reward.ts';
import { ReasongenError } from '../errors.ts';

/**
 * Lets every reward judge the samples at the same time and adds up their weighted values.
 * Throws BAD_SCORES when a reward returns the wrong number of scores or one that is not finite, REWARD_FAILED when it
 * throws; both name the reward. When one fails, the others are told to stop.
 */
export async function scoreSamples(
  rewards: readonly NamedReward[],
  samples: readonly Sample[],
  signal: AbortSignal,
): Promise<Judgement[]> {
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const columns = await Promise.all(
    rewards.map(async (named) => {
      try {
        return { ...named, judged: await askReward(named, samples, either) };
      } catch (error) {
        failed.abort(error);
        throw error;
      }
    }),
  );
  return samples.map((_, index) => {
    const scores: Record<string, Score> = {};
    let total = 0;
    for (const { name, weight, judged } of columns) {
      const score = judged[index];
      if (score === undefined) throw new RangeError(`reward "${name}" lost the score of sample ${index}`);
      scores[name] = score;
      total += weight * score.value;
    }
    return { total, scores };
  });
}

async function askReward(
  { name, reward }: NamedReward,
  samples: readonly Sample[],
  signal: AbortSignal,
): Promise<Score[]> {
  const place = `reward "${name}"`;
  let answers: readonly (number | Score)[];
  try {
    answers = await reward.score(samples, signal);
  } catch (cause) {
    if (cause instanceof ReasongenError) throw cause;
    const message = `it failed while judging ${samples.length} samples: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new ReasongenError({
      code: 'REWARD_FAILED',
      message,
      place,
      hint: 'mend the reward and resume the run; --debug shows where it failed',
      cause,
    });
  }
  const bad = (message: string): ReasongenError =>
    new ReasongenError({
      code: 'BAD_SCORES',
      message,
      place,
      hint: 'a reward returns one finite score per sample, in the order of the samples',
    });
  if (!Array.isArray(answers)) throw bad('it did not return a list of scores');
  if (answers.length !== samples.length)
    throw bad(`it returned ${answers.length} scores for ${samples.length} samples`);
  return samples.map((sample, index) => {
    const answer = answers[index];
    const score = typeof answer === 'number' ? { value: answer } : answer;
    if (typeof score?.value !== 'number' || !Number.isFinite(score.value)) {
      throw bad(`its score for sample ${index} ("${sample.prompt}", id ${sample.id}) is ${describe(answer)}`);
    }
    return score;
  });
}

function describe(answer: unknown): string {
  if (typeof answer === 'number' || answer === undefined) return String(answer);
  const value: unknown = typeof answer === 'object' && answer !== null && 'value' in answer ? answer.value : answer;
  return typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? typeof value);
}
