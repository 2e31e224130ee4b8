/** What a GRPO run computes with, made in one place: the run and its plan call the same function. */
import type { RunContext } from '../../contracts/recipe.ts';
import { KlController } from '../../rl/kl-controller.ts';
import { Drawer } from '../../drawing/drawer.ts';
import { drawnIn, type GrpoOptions } from './options.ts';
import { MeasuredWorkers } from './measured-workers.ts';
import { Reference } from './reference.ts';
import { GrpoScorer } from './scorer.ts';
import { largestShape, promptsAtOnce } from './sizes.ts';
import { GrpoUpdate } from './update.ts';
import { Guards } from '../../training/guards.ts';
import { OperandWatch } from '../../training/operands.ts';
import type { Training } from '../../training/training.ts';

export interface GrpoSetup {
  readonly guards: Guards;
  readonly kl: KlController | undefined;
  readonly reference: Reference | undefined;
  readonly update: GrpoUpdate;
  /** Scores drawings again before the first update; only where the sampler's numbers are not taken as they are. */
  readonly old: GrpoScorer | undefined;
  readonly drawer: Drawer;
  /** What was lost of the values that drawing multiplied, where tensor cores did. */
  readonly drawnOperands: OperandWatch;
  /** Where workers of other adapters draw. */
  readonly workers: MeasuredWorkers | undefined;
  /** The likeliest drawing of each prompt: the baseline of ReMax. */
  readonly greedy: Drawer | undefined;
  close(): Promise<void>;
}

function scoresBeforeUpdates({ executor }: RunContext, { oldLogProbability, staleness }: GrpoOptions): boolean {
  return oldLogProbability === 'scorer' || staleness === 1 || executor.mixesAdapters === true;
}

/** Programs of the longest drawings are made at once: memory does not grow later, however long rationales become. */
export async function openGrpo(context: RunContext, choice: GrpoOptions, training: Training): Promise<GrpoSetup> {
  const guards = new Guards(context.log, choice.guards);
  const kl = choice.kl === undefined ? undefined : new KlController(choice.kl);
  const reference = await Reference.open(context, choice, training);
  const update = new GrpoUpdate(
    context,
    choice,
    training,
    guards,
    reference !== undefined && choice.kl?.place === 'loss' ? kl : undefined,
  );
  const old = scoresBeforeUpdates(context, choice)
    ? new GrpoScorer(context, choice, training.workspace, training.weights, 'old policy')
    : undefined;
  const shape = largestShape(context, choice);
  await update.reserve(shape);
  await reference?.reserve(shape);
  await old?.reserve(shape);
  const draw = {
    prompts: promptsAtOnce(choice, context.communicator),
    promptTokens: choice.promptTokens,
    precision: drawnIn(choice),
  };
  const drawer = await Drawer.open(context, training.weights, training.workspace, {
    ...draw,
    sampling: choice,
    samplesPerPrompt: choice.groupSize,
  });
  const greedily = { ...choice, textTemperature: 0, imageTemperature: 0 };
  const greedy =
    choice.estimator === 'remax'
      ? await Drawer.open(context, training.weights, training.workspace, {
          ...draw,
          sampling: greedily,
          samplesPerPrompt: 1,
        })
      : undefined;
  const close = async (): Promise<void> => {
    drawer.close();
    greedy?.close();
    await old?.close();
    await reference?.close();
    await update.close();
  };
  const workers = context.executor.mixesAdapters === true ? new MeasuredWorkers(context, choice) : undefined;
  const drawnOperands = new OperandWatch('drawing', guards, choice.lostShare);
  return { guards, kl, reference, update, old, drawer, drawnOperands, workers, greedy, close };
}
