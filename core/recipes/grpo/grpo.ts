/**
 * Group relative policy optimization of rationale and picture together (ReasonGen-R1 §3.3; GRPO: Shao et al. 2024).
 * A step: draw every prompt group-size times, judge, keep the groups that disagree, turn rewards into advantages within
 * each group, and take a few clipped updates on what was drawn.
 *
 * The loss of an update over its tokens t, each with log-probability l and entropy H under the policy that is trained:
 *
 *   L = Σ_t  s · ( k · max(-A ρ, -A clip(ρ, 1 - clipLow, 1 + clipHigh))  +  β K(l_ref - l) )  +  Σ_kinds c · mean(H)
 *
 *   ρ = exp(l - l_old)   the ratio to the policy that drew; of the whole sequence, or cut and held constant, by `method`
 *   A                    (reward - mean of the group) / standard deviation of the group, or as `estimator` and `normalize` say
 *   s                    1 / tokens of the mini-batch, or as `aggregation` says; k: textWeight or imageWeight, times a token's own weight
 *   β K                  divergence from the reference, `kl`; c: coefficient of the entropy, fixed or adapted, of text and of image tokens
 *
 * In the order of a step: prompts.ts, prompt-source.ts, prompt-files.ts (what is drawn), rollout.ts (draw, judge; advantages are
 * rl/advantages.ts), carry.ts (groups kept for the next step), penalty.ts (K in the reward), completions.ts (packed sequences;
 * l_old, A, l_ref, s and k of every token), reference.ts and scorer.ts (l_ref, l_old), update.ts (mini-batches and micro-batches),
 * objective.ts (the formula on the device: ops/policy-objective.ts and its kernel). Beside them: options.ts, plan.ts, sizes.ts,
 * setup.ts (what is made once), evaluation.ts, samples.ts.
 *
 * On purpose different from the published code:
 * 1. Temperatures and guidance are shared by sampler and scorer; the largest difference of their log-probabilities is measured
 *    at every step and stops the run when it is not rounding.
 * 2. A forced image start carries no loss and no entropy; nothing is appended after the picture.
 * 3. Pass rate and reward are logged before groups are filtered, so the curves show the policy, not the filter.
 * 4. When too few groups survive the budget the batch shrinks with a warning; a run is never thrown away. Groups beyond the need
 *    fill gaps of the next step.
 * 5. Entropy controllers are one per run, move once per update, and are part of the checkpoint.
 * 6. The first update has the learning rate its schedule says, not zero.
 */
import type { Plan, Recipe, RunContext } from '../../contracts/recipe.ts';
import type { Json } from '../../io/checkpoint.ts';
import { checkpointName } from '../../io/checkpoint-manifest.ts';
import { defineRecipe } from '../../plugin.ts';
import type { EntropyControllerState } from '../../rl/entropy-controller.ts';
import { groupFromJson, groupToJson, type TrainedGroup } from './carry.ts';
import { evaluatePolicy } from './evaluation.ts';
import { largestDifference } from './completions.ts';
import { grpoOptions, type GrpoOptions } from './options.ts';
import { Penalty } from './penalty.ts';
import { openGrpo, type GrpoSetup } from './setup.ts';
import { planGrpo, smallerGrpo } from './plan.ts';
import { checkPrompts, openPrompts } from './prompts.ts';
import { collectRollout, rolloutMetrics, type JudgeClock, type Rollout } from './rollout.ts';
import { drawingsAtOnce } from './sizes.ts';
import { type GrpoUpdate, samplerDisagrees } from './update.ts';
import {
  checkJudges,
  checkPolicy,
  checkRewards,
  emptyHistory,
  type Guards,
  type RewardHistory,
} from '../../training/guards.ts';
import { saveSamples } from './samples.ts';
import { Training, type TrainingState } from '../../training/training.ts';

export const grpo = defineRecipe({
  name: 'grpo',
  summary: 'group relative policy optimization of rationale and picture with a judge as reward',
  options: grpoOptions,
  needs: ['tokenizer', 'imageTokenizer', 'backbone', 'reward', 'optimizer'],
  create: (choice): Recipe => ({
    plan: async (context): Promise<Plan> => {
      await checkPrompts(context, choice);
      return planGrpo(context, choice);
    },
    smaller: smallerGrpo(choice),
    run: (context) => runGrpo(context, choice),
  }),
});

/** What a checkpoint keeps beside weights and optimizer. */
type GrpoState = {
  readonly position: number;
  readonly tooLong: number;
  readonly history: { readonly [Name in keyof RewardHistory]: number };
  readonly controllers: { readonly [kind: string]: { readonly [Name in keyof EntropyControllerState]: number } };
  readonly kl: { readonly coefficient: number } | null;
  readonly carried: readonly Json[];
};

async function runGrpo(context: RunContext, choice: GrpoOptions): Promise<void> {
  const { directory, hooks, log, stop } = context;
  const { training, state } = await Training.open(context, context.backbone.parameters, choice);
  const { source, heldOut } = await openPrompts(context, choice);
  const parts = await openGrpo(context, choice, training);
  const { guards, kl, reference, update, drawer, greedy } = parts;
  const penalty = new Penalty(choice, kl, reference);
  const tools = { source, drawer, greedy, penalties: penalty.isUsed ? penalty.of : undefined };
  const evaluateAt = (label: string, step: number): Promise<Record<string, number>> =>
    evaluatePolicy(context, choice, { training, source, heldOut }, label, step);

  let history = emptyHistory;
  let carried: readonly TrainedGroup[] = [];
  if (state === undefined) await evaluateAt('before', 0);
  else {
    const saved = state as TrainingState & GrpoState;
    Object.assign(source, { position: saved.position, tooLong: saved.tooLong });
    update.restore(saved.controllers);
    if (saved.kl !== null) kl?.restore(saved.kl);
    history = saved.history;
    carried = saved.carried.map(groupFromJson);
  }
  const first = (state?.step ?? 0) + 1;
  const progress = log.progress('GRPO', choice.steps, { done: first - 1 });
  let numbers: Record<string, number> = {};
  /** What changes from now on is noted; groups do not change, and become JSON only when they are saved. */
  const stateNow = (): (() => GrpoState) => {
    const groups = carried;
    const noted = {
      position: source.position,
      tooLong: source.tooLong,
      history: { ...history },
      controllers: plain(update.state),
      kl: kl?.state() ?? null,
    };
    return () => ({ ...noted, carried: groups.map(groupToJson) });
  };
  const save = (step: number, more: Record<string, number> = {}, own = stateNow()): Promise<void> =>
    training.save({ step, ...own() }, { ...numbers, ...more });
  for (let step = first; step <= choice.steps; step++) {
    // Before the step rather than behind the last one: a run that is stopped here evaluates again when it is resumed.
    if (step > 1 && choice.evaluateEvery > 0 && (step - 1) % choice.evaluateEvery === 0) {
      const passes = await evaluateAt(checkpointName(step - 1), step - 1);
      if (choice.keepBest !== undefined && !stop.requested) await save(step - 1, passes);
    }
    if (stop.requested) {
      // Before the first step there is nothing to save: the run starts over.
      if (step > 1) await save(step - 1);
      break;
    }
    const started = performance.now();
    const skippedBefore = source.tooLong;
    const judging: JudgeClock = { seconds: 0 };
    const whole = stateNow();
    // Nothing is learnt before a rollout is whole: what fails in it costs no step.
    const rollout = await training.orSave(
      collectRollout(context, choice, tools, step, carried, judging),
      step - 1,
      () => save(step - 1, {}, whole),
    );
    carried = choice.carryOver ? rollout.surplus : [];
    history = lookAtRollout(context, choice, guards, rollout, step, history);
    const sampled = performance.now();
    const learned = rollout.kept.length > 0 ? await learn(choice, parts, rollout, step) : {};
    penalty.endStep();
    reference?.resetAfter(step);
    checkPolicy(
      guards,
      choice,
      {
        entropy: { text: learned['text/entropy'], image: learned['image/entropy'] },
        fromSampler: learned['kl'] ?? 0,
        fromReference: learned['referenceKl'],
      },
      step,
    );
    const seconds = {
      secondsSampling: (sampled - started) / 1000 - judging.seconds,
      secondsJudging: judging.seconds,
      secondsTraining: (performance.now() - sampled) / 1000,
    };
    const skipped = { promptsTooLong: source.tooLong - skippedBefore };
    if (skipped.promptsTooLong > 0)
      log.warn(
        `step ${step}: ${skipped.promptsTooLong} prompts of more than ${choice.promptTokens} tokens were passed over`,
      );
    const metrics = {
      ...rolloutMetrics(context, rollout),
      ...learned,
      ...penalty.metrics(),
      ...skipped,
      learningRate: training.learningRate(step),
      ...seconds,
    };
    numbers = metrics;
    directory.writeStep(step, metrics);
    await training.orSave(hooks.step({ step, metrics }), step, () => save(step));
    if (choice.samplesEvery > 0 && (step === 1 || step % choice.samplesEvery === 0))
      await keepSamples(context, choice, rollout, step);
    progress.advance(1, `reward ${metrics.reward.toFixed(2)}`);
    const isLast = step === choice.steps || stop.requested;
    if (isLast || step % choice.saveEvery === 0) await save(step);
    if (stop.requested) break;
  }
  progress.end();
  if (!stop.requested) {
    const passes = await evaluateAt('after', choice.steps);
    if (choice.keepBest !== undefined && Object.keys(passes).length > 0) await save(choice.steps, passes);
  }
  await parts.close();
  await training.close();
}

/** Looks at what was drawn: warnings and guards about rewards and judges. Returns the history of rewards for the next step. */
function lookAtRollout(
  context: RunContext,
  choice: GrpoOptions,
  guards: Guards,
  rollout: Rollout,
  step: number,
  before: RewardHistory,
): RewardHistory {
  const judgements = rollout.all.flatMap((group) => group.judgements);
  checkJudges(guards, choice.unparsedShare, judgements, step);
  if (rollout.kept.length < 2 && rollout.warning !== undefined) context.log.warn(`step ${step}: ${rollout.warning}`);
  return checkRewards(
    guards,
    choice.guardWindow,
    judgements.filter(({ unjudged }) => unjudged !== true).map(({ total }) => total),
    rollout.informativeCount > 0,
    before,
  );
}

/**
 * Trains on the groups that were kept: their log-probabilities when drawn, noted by the sampler or computed again, and those under
 * the reference, then the updates. Returns the numbers of the step, the largest difference of sampler and scorer among them.
 */
async function learn(
  choice: GrpoOptions,
  { guards, update, old, reference }: GrpoSetup,
  rollout: Rollout,
  step: number,
): Promise<Record<string, number>> {
  const groups = rollout.kept.map(({ completions }) => completions);
  const completions = groups.flat();
  const noted = completions.map(({ sequence }) => sequence.logProbability);
  const scored = await old?.score(completions, drawingsAtOnce(choice));
  // The policy that drew a carried group is gone: only the sampler's note tells of it.
  const isFresh = (index: number): boolean => completions[index]?.step === step;
  const fresh = <Value>(values: readonly Value[]): Value[] => values.filter((_, index) => isFresh(index));
  const difference = scored && largestDifference(fresh(completions), fresh(noted), fresh(scored), choice);
  if (difference !== undefined && !(difference <= choice.ratioTolerance))
    guards.trip('ratio', samplerDisagrees(difference, choice.ratioTolerance, step));
  const batch = {
    groups,
    old: noted.map((values, index) => (isFresh(index) ? (scored?.[index] ?? values) : values)),
    reference: choice.kl?.place === 'loss' ? await reference?.score(completions) : undefined,
  };
  return { ...(await update.apply(batch, step)), ...(difference !== undefined && { ratioDifference: difference }) };
}

async function keepSamples(context: RunContext, choice: GrpoOptions, rollout: Rollout, step: number): Promise<void> {
  const all = rollout.all.flatMap(({ drawings, judgements, completions }) =>
    drawings.map((drawing, index) => ({
      drawing,
      judgement: judgements[index],
      // One that no reward judged has none.
      advantage: completions.find(({ sequence }) => sequence === drawing.sequence)?.advantage ?? 0,
    })),
  );
  await saveSamples(context, step, all.slice(0, choice.samplesShown));
}

/** Records as plain JSON. */
function plain(state: GrpoUpdate['state']): GrpoState['controllers'] {
  return Object.fromEntries(Object.entries(state).map(([kind, numbers]) => [kind, { ...numbers }]));
}
