/**
 * Group relative policy optimisation of rationale and picture together (ReasonGen-R1 §3.3; GRPO: Shao et al. 2024).
 * A step: draw every prompt group-size times, judge, keep the groups that disagree, turn rewards into advantages within
 * each group, and take a few clipped updates on what was drawn.
 *
 * On purpose different from the published code:
 * 1. Temperatures are shared by sampler and scorer; the largest difference of their log-probabilities is measured at every
 *    step and stops the run when it is not rounding.
 * 2. A forced image start carries no loss and no entropy; nothing is appended after the picture.
 * 3. Pass rate and reward are logged before groups are filtered, so the curves show the policy, not the filter.
 * 4. When too few groups survive the budget the batch shrinks with a warning; a run is never thrown away.
 * 5. Entropy controllers are one per run and part of the checkpoint.
 * 6. The first update has the learning rate its schedule says, not zero.
 */
import type { Evaluation } from '../contracts/evaluation.ts';
import type { Plan, PlanContext, Recipe, RunContext } from '../contracts/recipe.ts';
import { ReasongenError, exitCodes } from '../errors.ts';
import { checkpointName } from '../io/checkpoint.ts';
import { defineRecipe } from '../plugin.ts';
import type { EntropyControllerState } from '../rl/entropy-controller.ts';
import { Drawer } from './drawing.ts';
import { evaluate, evaluateItems, summarise } from './evaluate.ts';
import { grpoOptions, type GrpoOptions } from './grpo-options.ts';
import { collectRollout, rolloutMetrics, type Rollout } from './grpo-rollout.ts';
import { GrpoUpdate } from './grpo-update.ts';
import { memoryPlan } from './memory.ts';
import { PromptSource } from './prompt-source.ts';
import { saveSamples } from './samples.ts';
import { Training, type TrainingState } from './training.ts';

export const grpo = defineRecipe({
  name: 'grpo',
  summary: 'group relative policy optimisation of rationale and picture with a judge as reward',
  options: grpoOptions,
  needs: ['tokenizer', 'imageTokenizer', 'backbone', 'dataset', 'reward', 'optimizer'],
  create: (choice): Recipe => ({
    plan: (context) => planGrpo(context, choice),
    run: (context) => runGrpo(context, choice),
  }),
});

/** What a checkpoint keeps beside weights and optimizer. */
type GrpoState = {
  readonly position: number;
  readonly stepsWithoutSignal: number;
  readonly controllers: Readonly<Record<string, EntropyControllerState>>;
};

async function runGrpo(context: RunContext, choice: GrpoOptions): Promise<void> {
  const { directory, hooks, log, stop } = context;
  const { training, state } = await Training.open(context, context.backbone.parameters, choice);
  const source = new PromptSource(context.dataset, { seed: context.seed, pool: choice.pool, tasks: choice.tasks });
  const update = new GrpoUpdate(context, choice, training);
  const drawer = await Drawer.open(context, training.parameters, training.workspace, { sampling: choice, prompts: choice.prompts, samplesPerPrompt: choice.samples, promptTokens: choice.promptTokens });
  let stepsWithoutSignal = 0;
  if (state === undefined) await evaluatePolicy(context, choice, training, source, 'before', 0);
  else stepsWithoutSignal = restore(state, source, update);

  const first = (state?.step ?? 0) + 1;
  const progress = log.progress('GRPO', choice.steps, { done: first - 1 });
  const save = (step: number): Promise<void> => training.save({ step, position: source.position, stepsWithoutSignal, controllers: plain(update.state) });
  for (let step = first; step <= choice.steps; step++) {
    // Before the step rather than behind the last one: a run that is stopped here evaluates again when it is resumed.
    if (step > 1 && choice.evaluateEvery > 0 && (step - 1) % choice.evaluateEvery === 0) {
      await evaluatePolicy(context, choice, training, source, checkpointName(step - 1), step - 1);
    }
    if (stop.requested) {
      // Before the first step there is nothing to save: the run starts over.
      if (step > 1) await save(step - 1);
      break;
    }
    const started = performance.now();
    const rollout = await collectRollout(context, choice, source, drawer, step);
    stepsWithoutSignal = guardSignal(context, choice, rollout, step, stepsWithoutSignal);
    const sampled = performance.now();
    const learned = rollout.kept.length > 0 ? await update.apply(rollout.kept, step) : {};
    const seconds = { secondsSampling: (sampled - started) / 1000, secondsTraining: (performance.now() - sampled) / 1000 };
    const metrics = { ...rolloutMetrics(context, rollout), ...learned, learningRate: training.learningRate(step), ...seconds };
    directory.metrics.append({ step, ...metrics });
    await hooks.step({ step, metrics });
    if (choice.samplesEvery > 0 && (step === 1 || step % choice.samplesEvery === 0)) await keepSamples(context, choice, rollout, step);
    progress.advance(1, `reward ${metrics.reward.toFixed(2)}`);
    const isLast = step === choice.steps || stop.requested;
    if (isLast || step % choice.saveEvery === 0) await save(step);
    if (stop.requested) break;
  }
  progress.end();
  if (!stop.requested) await evaluatePolicy(context, choice, training, source, 'after', choice.steps);
  drawer.close();
  await update.close();
  await training.close();
}

function planGrpo(context: PlanContext, choice: GrpoOptions): Plan {
  const codes = context.imageTokenizer.grid.rows * context.imageTokenizer.grid.columns;
  const rows = choice.prompts * choice.samples;
  const capacity = choice.promptTokens + (choice.rationale ? choice.rationaleTokens : 1) + codes;
  const perUpdate = Math.ceil(choice.prompts / choice.updates) * choice.samples;
  return memoryPlan(context, {
    tokens: perUpdate * capacity,
    trained: true,
    sampler: { rows: rows * (choice.guidance === 1 ? 1 : 2), capacity },
    lines: [
      `${choice.prompts} prompts x ${choice.samples} samples = ${rows} drawings a step, ${choice.steps} steps`,
      `${choice.updates} updates per rollout, each on at most ${perUpdate} drawings of at most ${capacity} tokens (${codes} of them image codes)`,
      choice.pool > 0 ? `a pool of ${choice.pool} fixed prompts` : 'fresh prompts at every step',
    ],
  });
}

/** Held-out prompts, and the pool itself when there is one: learning a pool says nothing about others. */
async function evaluatePolicy(context: RunContext, choice: GrpoOptions, training: Training, source: PromptSource, label: string, step: number): Promise<void> {
  if (choice.evaluations === 0 || context.benchmarks.length === 0) return;
  const prompts = Math.min(choice.evaluations, choice.prompts * choice.samples);
  const drawer = await Drawer.open(context, training.parameters, training.workspace, { sampling: choice, prompts, samplesPerPrompt: 1, promptTokens: choice.promptTokens });
  const plan = { label, step, seed: choice.evaluationSeed, pictures: choice.evaluationPictures };
  const say = (record: Evaluation | undefined): void => void (record && context.log.info(summarise(record)));
  for (const named of context.benchmarks) {
    if (source.pool.length > 0) {
      const items = Array.from({ length: choice.evaluations }, (_, index) => source.pool[index % source.pool.length]).filter((item) => item !== undefined);
      say(await evaluateItems(context, drawer, named, choice, { ...plan, split: 'pool' }, items));
    }
    say(await evaluate(context, drawer, named, choice, { ...plan, split: 'heldout', count: choice.evaluations }));
  }
  drawer.close();
}

/** Warns about a step without signal and stops the run after a window of them. Returns the steps without signal so far. */
function guardSignal(context: RunContext, choice: GrpoOptions, rollout: Rollout, step: number, before: number): number {
  if (rollout.kept.length < 2 && rollout.warning !== undefined) context.log.warn(`step ${step}: ${rollout.warning}`);
  if (rollout.kept.length > 0) return 0;
  if (before + 1 < choice.constantRewardWindow) return before + 1;
  throw new ReasongenError({
    code: 'CONSTANT_REWARD',
    message: `for ${before + 1} steps no group has had variance in its rewards (the last were ${rollout.all[0]?.judgements[0]?.total}): nothing can be learnt`,
    cure: 'check the reward on saved samples; use graded rewards, easier prompts, a higher temperature or a larger group',
    exitCode: exitCodes.guard,
  });
}

async function keepSamples(context: RunContext, choice: GrpoOptions, rollout: Rollout, step: number): Promise<void> {
  const all = rollout.all.flatMap(({ drawings, judgements, advantages }) =>
    drawings.map((drawing, index) => ({ drawing, judgement: judgements[index], advantage: advantages[index] ?? 0 })),
  );
  await saveSamples(context, step, all.slice(0, choice.samplesShown));
}

function restore(state: TrainingState, source: PromptSource, update: GrpoUpdate): number {
  const { position, stepsWithoutSignal, controllers } = state as TrainingState & GrpoState;
  source.position = position;
  update.restore(controllers);
  return stepsWithoutSignal;
}

/** Records as plain JSON. */
function plain(state: Readonly<Record<string, EntropyControllerState>>): Record<string, Record<string, number>> {
  return Object.fromEntries(Object.entries(state).map(([kind, numbers]) => [kind, { ...numbers }]));
}
