/**
 * Group relative policy optimization of rationale and picture together (ReasonGen-R1 §3.3; GRPO: Shao et al. 2024).
 * A step: draw every prompt group-size times, judge, keep the groups that disagree, turn rewards into advantages within
 * each group, and take a few clipped updates on what was drawn.
 *
 * The loss of an update over its tokens t, each with log-probability l and entropy H under the policy that is trained:
 *
 *   L = Σ_t  s · ( k w · max(-A ρ, -A clip(ρ, 1 - clipLow, 1 + clipHigh))  +  β K(l_ref - l) )  +  Σ_kinds c · mean(H)
 *
 *   ρ = exp(l - l_old)   the ratio to the policy that drew; of the whole sequence, or cut and held constant, by `method`
 *   A                    (reward - mean of the group) / standard deviation of the group, or as `estimator` and `normalize` say
 *   w                    with `staleness` a token's importance, at most `importanceCap`: importance.ts; else 1
 *   s                    1 / tokens of the mini-batch, or as `aggregation` says; k: textWeight or imageWeight, times a token's own weight
 *   β K                  divergence from the reference, `kl`; c: coefficient of the entropy, fixed or adapted, of text and of image tokens
 *
 * In the order of a step: prompts.ts, prompt-source.ts, prompt-files.ts (what is drawn), rollout.ts (draw, judge; advantages are
 * rl/advantages.ts), carry.ts (groups kept for the next step), ahead.ts (groups begun before it), penalty.ts (K in the reward), completions.ts (packed sequences;
 * l_old, A, l_ref, s and k of every token), reference.ts and scorer.ts (l_ref, l_old), importance.ts (w), measured-workers.ts, update.ts (mini-batches and micro-batches),
 * objective.ts (the formula on the device: ops/policy-objective.ts and its kernel), learn.ts (they together), looks.ts (guards). Beside
 * them: options.ts, plan.ts, sizes.ts, setup.ts (what is made once), memory.ts (what steps leave to the next), evaluation.ts,
 * samples.ts, playground.ts, metric-names.ts.
 *
 * Over ranks every one knows all groups of a step: it draws, has judged, scores and learns from a share of them, and the shares are put together
 * before anything is decided from them. Evaluations are drawn by all and judged by the first.
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
import { reserveJudges } from '../../judging/reserve.ts';
import { checkpointName } from '../../io/checkpoint-manifest.ts';
import { defineRecipe } from '../../plugin.ts';
import { Training } from '../../training/training.ts';
import { refuseFewer } from '../../ranks/shares.ts';
import { drawAhead } from './ahead.ts';
import { evaluatePolicy } from './evaluation.ts';
import { learn } from './learn.ts';
import { lookAtPictures, lookAtPolicy, lookAtRollout } from './looks.ts';
import { GrpoMemory, type GrpoState } from './memory.ts';
import { grpoMetrics } from './metric-names.ts';
import { grpoOptions, type GrpoOptions } from './options.ts';
import { Penalty } from './penalty.ts';
import { drawAsked } from './playground.ts';
import { planGrpo, refuseNoReward, smallerGrpo } from './plan.ts';
import { checkPrompts, openPrompts } from './prompts.ts';
import { collectRollout, JudgeClock, rolloutMetrics, type RolloutTools } from './rollout.ts';
import { savedSamples } from './samples.ts';
import { openGrpo, type GrpoSetup } from './setup.ts';

export const grpo = defineRecipe({
  name: 'grpo',
  summary: 'group relative policy optimization of rationale and picture with a judge as reward',
  options: grpoOptions,
  needs: ['tokenizer', 'imageTokenizer', 'backbone', 'reward', 'optimizer'],
  metrics: grpoMetrics,
  create: (choice, scope): Recipe => ({
    plan: async (context): Promise<Plan> => {
      refuseFewer(choice.prompts, context.communicator, 'recipe.prompts');
      refuseNoReward(context.rewards, choice);
      await checkPrompts(context, choice);
      return planGrpo(context, choice);
    },
    smaller: smallerGrpo(choice),
    takesRanks: true,
    extensions:
      choice.samplesEvery > 0 ? { samples: savedSamples(choice, scope.seed, () => scope.get('tokenizer')) } : {},
    run: (context) => runGrpo(context, choice),
  }),
});

async function runGrpo(context: RunContext, choice: GrpoOptions): Promise<void> {
  const { hooks, log, stop } = context;
  const { training, state } = await Training.open(context, context.backbone.parameters, choice);
  const { source, heldOut } = await openPrompts(context, choice);
  const parts = await openGrpo(context, choice, training);
  await reserveJudges(context);
  const memory = new GrpoMemory(source, parts.update, parts.kl);
  const penalty = new Penalty(choice, parts.kl, parts.reference);
  const evaluateAt = (label: string, step: number): Promise<Record<string, number>> =>
    evaluatePolicy(context, choice, { training, source, heldOut }, label, step);
  if (state === undefined) await evaluateAt('before', 0);
  else {
    memory.restore(state as typeof state & GrpoState);
    await sayWhatIsNotExact(context, choice, state.step);
  }

  let numbers: Record<string, number> = {};
  const save = (step: number, more: Record<string, number> = {}, own = memory.note()): Promise<void> =>
    training.save({ step, ...own() }, { ...numbers, ...more });
  const run: GrpoRun = { training, parts, memory, penalty, save };
  const first = (state?.step ?? 0) + 1;
  const progress = log.progress('GRPO', choice.steps, { done: first - 1 });
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
    const files = await training.orSave(context.beginStep(step), step - 1, () => save(step - 1));
    const metrics = await takeStep(context, choice, run, step);
    numbers = metrics;
    context.directory.writeStep(step, { ...metrics, ...files });
    await training.orSave(hooks.step({ step, metrics }), step, () => save(step));
    const reward = metrics['reward'];
    progress.advance(1, reward === undefined ? 'no drawing was judged' : `reward ${reward.toFixed(2)}`);
    const asked = await context.asked();
    if (step === choice.steps || stop.requested || step % choice.saveEvery === 0 || asked.save) await save(step);
    await drawAsked(context, parts.drawer, asked.prompts, step);
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

/** Of a run that is gone on with. */
async function sayWhatIsNotExact({ log, directory }: RunContext, choice: GrpoOptions, step: number): Promise<void> {
  if (choice.staleness === 0 || step >= choice.steps) return;
  const note = `step ${step + 1} is drawn with the weights behind step ${step}, where a run that was not interrupted has drawn it with those before: what follows is not that run to the bit`;
  log.warn(note);
  await directory.warn(note);
}

/** What the steps of a run work with. */
interface GrpoRun {
  readonly training: Training;
  readonly parts: GrpoSetup;
  readonly memory: GrpoMemory;
  readonly penalty: Penalty;
  readonly save: (step: number, more: Record<string, number>, own: () => GrpoState) => Promise<void>;
}

/** Draws and judges, learns from the groups that disagree, and looks at both. Returns the numbers of the step. */
async function takeStep(
  context: RunContext,
  choice: GrpoOptions,
  { training, parts, memory, penalty, save }: GrpoRun,
  step: number,
): Promise<Record<string, number>> {
  const { guards, reference, drawer, drawnOperands, greedy } = parts;
  const { source } = memory;
  const tools: RolloutTools = { source, drawer, greedy, penalties: penalty.isUsed ? penalty.of : undefined };
  const started = performance.now();
  const skippedBefore = (memory.ahead?.before ?? source).tooLong;
  const judging = new JudgeClock();
  const whole = memory.note();
  // Nothing is learnt before a rollout is whole: what fails in it costs no step.
  const drawn = collectRollout(context, choice, tools, step, memory.carried, judging, memory.ahead);
  const rollout = await training.orSave(drawn, step - 1, () => save(step - 1, {}, whole));
  memory.ahead = undefined;
  const counts = await drawer.takeCounts();
  if (counts !== undefined) drawnOperands.add(counts);
  const promptsTooLong = source.tooLong - skippedBefore;
  memory.carried = choice.carryOver ? rollout.surplus : [];
  memory.history = lookAtRollout(context, choice, guards, rollout, step, memory.history);
  const pictures = lookAtPictures(context, choice, guards, rollout, step, memory.watch);
  if (choice.staleness === 1 && step < choice.steps && !context.stop.requested) {
    const begun = drawAhead(context, choice, { source, drawer }, step + 1);
    memory.ahead = await training.orSave(begun, step - 1, () => save(step - 1, {}, whole));
  }
  const sampled = performance.now();
  const learned = rollout.kept.length > 0 ? await learn(choice, parts, rollout, step) : {};
  penalty.endStep();
  reference?.resetAfter(step);
  lookAtPolicy(guards, choice, learned, step);
  if (promptsTooLong > 0)
    context.log.warn(
      `step ${step}: ${promptsTooLong} prompts of more than ${choice.promptTokens} tokens were passed over`,
    );
  return {
    ...rolloutMetrics(context, rollout, step, judging),
    ...pictures,
    ...drawnOperands.take(step),
    ...learned,
    ...penalty.metrics(),
    promptsTooLong,
    learningRate: training.learningRate(step),
    secondsSampling: (sampled - started) / 1000 - judging.secondsWaiting,
    secondsWaitingForJudges: judging.secondsWaiting,
    secondsJudging: judging.seconds,
    secondsTraining: (performance.now() - sampled) / 1000,
  };
}
