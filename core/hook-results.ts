/** What handlers of waterfalls hand back, checked where extension and hook are known. */
import type { AdvantagesEvent, BatchEvent, RewardsEvent } from './contracts/hooks.ts';
import { ReasongenError } from './errors.ts';

/** Why a result cannot be used; undefined when it can. */
export type ResultFault = ReasongenError | undefined;

/** As many items as before, each with the prompt that the model will see. */
export function checkBatch(before: BatchEvent, { items }: BatchEvent, place: string): ResultFault {
  return (
    checkCount(place, 'items', items, before.items.length, 'items') ??
    firstWrong(place, items, (item, index) =>
      typeof item?.prompt === 'string' && item.prompt !== '' ? undefined : `item ${index} has no \`prompt\``,
    )
  );
}

/** One judgement per sample, with finite numbers only. */
export function checkJudgements(before: RewardsEvent, { judgements }: RewardsEvent, place: string): ResultFault {
  return (
    checkCount(place, 'judgements', judgements, before.samples.length, 'samples') ??
    firstWrong(place, judgements, (judgement, index) => {
      if (!Number.isFinite(judgement?.total)) return `the total of judgement ${index} is ${String(judgement?.total)}`;
      if (typeof judgement.scores !== 'object' || judgement.scores === null) return `judgement ${index} has no scores`;
      const wrong = Object.entries(judgement.scores).find(([, score]) => !Number.isFinite(score?.value));
      return wrong && `score "${wrong[0]}" of judgement ${index} is ${String(wrong[1]?.value)}`;
    })
  );
}

/** One finite advantage per sample; token weights, where there are any, one of zero or more for every token of every drawing. */
export function checkAdvantages(
  before: AdvantagesEvent,
  { advantages, tokenWeights }: AdvantagesEvent,
  place: string,
): ResultFault {
  const wrong =
    checkCount(place, 'advantages', advantages, before.samples.length, 'samples') ??
    firstWrong(place, advantages, (value, index) =>
      Number.isFinite(value) ? undefined : `advantage ${index} is ${String(value)}`,
    );
  if (wrong !== undefined || tokenWeights === undefined) return wrong;
  for (const [index, { logProbability }] of before.drawn.entries()) {
    const weights = Array.isArray(tokenWeights) ? tokenWeights[index] : undefined;
    if (
      weights?.length === logProbability.length &&
      weights.every((weight: number) => Number.isFinite(weight) && weight >= 0)
    )
      continue;
    return new ReasongenError({
      code: 'BAD_TOKEN_WEIGHTS',
      message: `it gave ${weights?.length ?? 'no'} token weights for drawing ${index}, which has ${logProbability.length} tokens, or one that is negative or not finite`,
      hint: 'give one weight of zero or more for every log-probability of every drawing, or none at all',
      place,
    });
  }
  return undefined;
}

function checkCount(place: string, what: string, list: unknown, wanted: number, of: string): ResultFault {
  if (Array.isArray(list) && list.length === wanted) return undefined;
  return badResult(
    place,
    Array.isArray(list)
      ? `it handed back ${list.length} ${what} for ${wanted} ${of}`
      : `it handed back no list of ${what}`,
  );
}

function firstWrong<Item>(
  place: string,
  list: readonly Item[],
  why: (item: Item, index: number) => string | undefined,
): ResultFault {
  for (const [index, item] of list.entries()) {
    const wrong = why(item, index);
    if (wrong !== undefined) return badResult(place, wrong);
  }
  return undefined;
}

/** The message behind every other mistake of a result. */
export function badResult(place: string, message: string): ReasongenError {
  return new ReasongenError({
    code: 'BAD_HOOK_RESULT',
    message,
    hint: 'hand back the whole event with as many entries as it had, all numbers finite, or nothing to leave it as it is',
    place,
  });
}
