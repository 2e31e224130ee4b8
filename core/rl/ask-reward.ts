/** What one reward says of samples, checked where it enters. */
import { blamePlace } from '../blame.ts';
import type { NamedReward } from '../contracts/recipe.ts';
import type { NoVerdict, RewardAnswer, Sample, Score } from '../contracts/reward.ts';
import { ReasongenError } from '../errors.ts';
import { frozenCopy, frozenHint } from '../frozen.ts';
import { takeTurn, unlessStray } from '../waiting.ts';

/** What a reward may say of a sample; `undefined` where it does not apply. */
export type CheckedAnswer = Score | NoVerdict | undefined;

/** `reward "judge" of plugin "mine"` */
export function placeOf({ name, plugin }: NamedReward): string {
  return plugin === undefined ? `reward "${name}"` : `reward "${name}" of plugin "${plugin}"`;
}

export function reasonOfFailure(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * Hands the samples to the reward as frozen copies. Throws BAD_SCORES when it returns the wrong number of scores or one that is not finite,
 * REWARD_FAILED when it throws; both name the reward.
 */
export async function askReward(
  named: NamedReward,
  samples: readonly Sample[],
  signal: AbortSignal,
): Promise<readonly CheckedAnswer[]> {
  let answers: readonly RewardAnswer[];
  const turn = takeTurn();
  try {
    answers = await unlessStray(named.reward.score(frozenCopy(samples), signal), turn);
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
  const toCome = (answers as readonly unknown[]).filter((answer) => answer instanceof Promise);
  if (toCome.length > 0) {
    // What becomes of them is nobody's fault but the reward's, which is told of it.
    for (const answer of toCome) answer.catch(() => undefined);
    throw bad('one of its scores is still to come: wait for them with `await Promise.all(…)`');
  }
  const plain = Array.from(answers as readonly RewardAnswer[], (answer) => plainAnswer(answer, bad));
  return inOrder(plain, samples, bad).map((answer, index) => {
    const sample = samples[index];
    const which = `sample ${index} ("${sample?.prompt}", id ${sample?.id})`;
    return answer === null ? undefined : checkedAnswer(answer, which, bad);
  });
}

/** Every field read once, and nothing else kept: an answer may be an object that changes, or holds what no record can. */
function plainAnswer(answer: RewardAnswer, bad: (message: string) => ReasongenError): RewardAnswer {
  if (typeof answer !== 'object' || answer === null) return answer;
  try {
    if (isNoVerdict(answer)) {
      const { noVerdict, id } = answer;
      return { noVerdict, ...(id !== undefined && { id }) };
    }
    const { value, why, parts, unparsed, id } = answer;
    if (value === undefined)
      throw bad(
        `one of its scores is an object without \`value\`: it has ${Object.keys(answer).join(', ') || 'nothing'}`,
      );
    const own = parts !== undefined && isRecord(parts) ? { ...parts } : parts;
    return {
      value,
      ...(why !== undefined && { why }),
      ...(own !== undefined && { parts: own }),
      ...(unparsed === true && { unparsed }),
      ...(id !== undefined && { id }),
    };
  } catch (cause) {
    if (cause instanceof ReasongenError) throw cause;
    throw bad(`one of its scores cannot be read: ${reasonOfFailure(cause)}`);
  }
}

/** No list, map or number: what has names. */
function isRecord(value: unknown): boolean {
  return Object.prototype.toString.call(value) === '[object Object]';
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
  if (named.length === 0) return [...answers];
  if (named.length < answers.filter((answer) => answer !== null).length)
    throw bad('some of its scores name the id of their sample and some do not');
  const byId = new Map(named.map((answer) => [idOf(answer), answer]));
  const lost = [...byId.keys()].find((id) => !samples.some((sample) => sample.id === id));
  if (lost !== undefined) throw bad(`it returned a score for a sample "${lost}" that it was not asked about`);
  if (byId.size < named.length) throw bad('it returned two scores for one sample');
  return samples.map(({ id }) => byId.get(id) ?? null);
}

function checkedAnswer(
  answer: number | Score | NoVerdict,
  which: string,
  bad: (message: string) => ReasongenError,
): Score | NoVerdict {
  if (!isNoVerdict(answer)) return checkedScore(answer, which, bad);
  if (typeof answer.noVerdict !== 'string') throw bad(`its reason for no verdict on ${which} is no text`);
  return frozenCopy(answer);
}

export function isNoVerdict(answer: RewardAnswer | undefined): answer is NoVerdict {
  return typeof answer === 'object' && answer !== null && 'noVerdict' in answer;
}

function checkedScore(answer: number | Score, which: string, bad: (message: string) => ReasongenError): Score {
  const score = typeof answer === 'number' ? { value: answer } : answer;
  if (typeof score?.value !== 'number' || !isScore(score.value))
    throw bad(`its score for ${which} is ${written(answer)}`);
  if (score.why !== undefined && typeof score.why !== 'string')
    throw bad(`its explanation for ${which} is ${written(score.why)} and no text`);
  if (score.parts !== undefined && !isRecord(score.parts))
    throw bad(`the parts of its score for ${which} are ${written(score.parts)}; parts are numbers by name`);
  for (const [part, value] of Object.entries(score.parts ?? {}))
    if (typeof value !== 'number' || !Number.isFinite(value))
      throw bad(
        `part "${part}" of its score for ${which} is ${written(value)}; a part is a finite number, left out where it does not apply`,
      );
  return frozenCopy(score);
}

/** The largest number of 32 bits, in which advantages are. */
const largest = (2 - 2 ** -23) * 2 ** 127;

/** Whether a score, or the sum of several, is a number to train on. */
export function isScore(value: number): boolean {
  return Math.abs(value) <= largest;
}

/** A value that is no finite number, as a person would write it. */
function written(answer: unknown): string {
  if (typeof answer === 'number' || answer === undefined) return String(answer);
  if (typeof answer === 'bigint') return `${answer}n`;
  const value: unknown = typeof answer === 'object' && answer !== null && 'value' in answer ? answer.value : answer;
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'number') return String(value);
  try {
    return JSON.stringify(value) ?? typeof value;
  } catch {
    // It holds itself, or what JSON does not know.
    return Object.prototype.toString.call(value);
  }
}
