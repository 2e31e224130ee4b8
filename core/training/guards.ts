/**
 * Guards: what a run that cannot teach anything looks like, and what is done about it. All stop the run unless the preset says
 * otherwise; the last good checkpoint stays. What is measured is the recipe's matter; here are the names, the levels, and the
 * guards that look at the numbers of a step.
 */
import type { Judgement } from '../contracts/hooks.ts';
import { ReasongenError, exitCodes } from '../errors.ts';
import type { Log } from '../log.ts';
import { z } from '../preset/zod.ts';

const level = z.enum(['stop', 'warn', 'off']).default('stop');

/** Every guard with what provokes it. */
const guardSchema = z.strictObject({
  nonFinite: level.describe('an update whose gradient is not finite; it is skipped whatever is said here'),
  zeroGradient: level.describe('an update whose every gradient is exactly zero'),
  unmoved: level.describe('an update that changed no weight'),
  diverged: level.describe('one update that made the trained weights more than ten times as large'),
  constantReward: level.describe('every drawing of `guardWindow` steps got the same reward'),
  allFiltered: level.describe('no group of `guardWindow` steps had variance in its rewards'),
  unparsed: level.describe('a judge gave no usable answer for more than `unparsedShare` of the drawings of a step'),
  ratio: level.describe(
    'sampler and scorer disagree by more than `ratioTolerance` before the first update of a rollout',
  ),
  entropy: level.describe('the mean entropy of a kind of token is below `entropyFloor`'),
  hacking: z
    .enum(['stop', 'warn', 'off'])
    .default('warn')
    .describe(
      'pictures show nothing or become alike, or trained and held-out rewards part: the policy may please its judge instead of drawing better',
    ),
  underflow: z
    .enum(['stop', 'warn', 'off'])
    .default('warn')
    .describe(
      'with `precision` f16 or f32-split: more than `lostShare` of the values that a step multiplied were taken as 0',
    ),
  drift: level.describe('the policy is further than `driftLimit` from the one that drew, or from the reference'),
});

export type GuardName = keyof typeof guardSchema.shape;
export type GuardLevels = z.output<typeof guardSchema>;

/** The option `guards` of a recipe. */
export const guardOptions = guardSchema.prefault({}).describe('what each guard does: stop the run, warn, or nothing');

/** What a guard says: cause and hint. */
export interface Finding {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  readonly place?: string;
}

export class Guards {
  private readonly log: Pick<Log, 'warn'>;
  private readonly levels: Readonly<Partial<GuardLevels>>;

  constructor(log: Pick<Log, 'warn'>, levels: Readonly<Partial<GuardLevels>>) {
    this.log = log;
    this.levels = levels;
  }

  /** Ends the run with the exit code of guards, warns, or does nothing, as the preset says. */
  trip(name: GuardName, finding: Finding): void {
    const chosen = this.levels[name] ?? 'stop';
    if (chosen === 'warn') this.log.warn(`${finding.message} (guard ${name}); ${finding.hint}`);
    if (chosen !== 'stop') return;
    throw new ReasongenError({
      ...finding,
      hint: `${finding.hint}; recipe.guards.${name}: warn goes on regardless`,
      exitCode: exitCodes.guard,
    });
  }
}

/** Steps in a row, the newest included, in which nothing could be told apart; part of a checkpoint. */
export interface RewardHistory {
  /** In which no group had variance. */
  readonly withoutSignal: number;
  /** In which every drawing got `last`. */
  readonly constant: number;
  readonly last: number;
}

export const emptyHistory: RewardHistory = { withoutSignal: 0, constant: 0, last: 0 };

/** Looks at the totals of the drawings of a step that were judged and whether any group had signal. Returns the history for the next step. */
export function checkRewards(
  guards: Guards,
  window: number,
  totals: readonly number[],
  hasSignal: boolean,
  before: RewardHistory,
): RewardHistory {
  const [first = 0] = totals;
  const isJudged = totals.length > 0;
  const isConstant = isJudged && totals.every((total) => total === first);
  const goesOn = isConstant && (before.constant === 0 || before.last === first);
  const after = {
    withoutSignal: hasSignal ? 0 : before.withoutSignal + 1,
    constant: goesOn ? before.constant + 1 : Number(isConstant),
    last: first,
  };
  if (after.constant >= window) {
    guards.trip('constantReward', {
      code: 'CONSTANT_REWARD',
      message: `for ${after.constant} steps every drawing got the reward ${first}: nothing can be learnt`,
      hint: 'look at the saved samples: the reward may be broken, or the task out of reach; use graded rewards or easier prompts',
    });
  } else if (after.withoutSignal >= window) {
    guards.trip('allFiltered', {
      code: 'ALL_FILTERED',
      message: `for ${after.withoutSignal} steps no group has had variance in its rewards (${isJudged ? `the last drawing got ${totals.at(-1)}` : 'no drawing of the last one was judged'}): nothing can be learnt`,
      hint: isJudged
        ? 'use graded rewards, prompts that succeed sometimes, a higher temperature or a larger group'
        : 'look for warnings of rewards that failed, and for rewards that answer null or without a verdict on every drawing',
    });
  }
  return after;
}

/** Looks for judges that answered nothing of use. */
export function checkJudges(
  guards: Guards,
  largestShare: number,
  judgements: readonly Judgement[],
  step: number,
): void {
  const names = new Set(
    judgements.flatMap(({ scores, withoutVerdict = {} }) => [...Object.keys(scores), ...Object.keys(withoutVerdict)]),
  );
  for (const name of names) {
    const reasons = judgements.flatMap(({ scores, withoutVerdict }) =>
      withoutVerdict?.[name] === undefined
        ? scores[name]?.unparsed === true
          ? [scores[name].why]
          : []
        : [withoutVerdict[name]],
    );
    if (reasons.length <= largestShare * judgements.length) continue;
    const [why] = reasons;
    guards.trip('unparsed', {
      code: 'JUDGE_UNPARSED',
      message: `step ${step}: no usable answer for ${reasons.length} of ${judgements.length} drawings${why === undefined ? '' : `, e.g. "${why}"`}`,
      hint: 'mend its instruction or its answer format, or give it more tokens to answer with',
      place: `reward "${name}"`,
    });
  }
}

export interface PolicyNumbers {
  /** Mean entropy in nats by kind of token; absent where a step had none. */
  readonly entropy: Readonly<Record<string, number | undefined>>;
  /** Mean of log-probability when drawn minus now, nats per token. */
  readonly fromSampler: number;
  /** Divergence from the reference, nats per token; absent without one. It may grow over a run: ten times the limit are allowed. */
  readonly fromReference?: number | undefined;
}

/** Looks at a policy after the updates of a step. */
export function checkPolicy(
  guards: Guards,
  limits: { readonly entropyFloor: number; readonly driftLimit: number },
  numbers: PolicyNumbers,
  step: number,
): void {
  for (const [kind, entropy] of Object.entries(numbers.entropy)) {
    if (entropy === undefined || entropy >= limits.entropyFloor) continue;
    guards.trip('entropy', {
      code: 'ENTROPY_COLLAPSED',
      message: `step ${step}: the mean entropy of ${kind} tokens is ${entropy.toExponential(2)} nats (recipe.entropyFloor ${limits.entropyFloor}): every drawing of a prompt is the same`,
      hint: `go back to an earlier checkpoint, lower the learning rate, or hold the entropy with recipe.${kind}Entropy`,
    });
  }
  const { fromSampler, fromReference = 0 } = numbers;
  const isFromReference = Math.abs(fromReference) > 10 * limits.driftLimit;
  if (!isFromReference && Math.abs(fromSampler) <= limits.driftLimit) return;
  guards.trip('drift', {
    code: 'POLICY_DRIFT',
    message: `step ${step}: the policy is ${(isFromReference ? fromReference : fromSampler).toExponential(2)} nats per token away from ${isFromReference ? 'the reference' : 'the one that drew'} (recipe.driftLimit ${limits.driftLimit})`,
    hint: 'lower the learning rate or the number of updates per rollout, or raise the KL coefficient',
  });
}
