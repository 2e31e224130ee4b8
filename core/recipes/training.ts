/**
 * What every training recipe shares: trained weights with their optimizer, one recorded update, and checkpoints that hold
 * all of it, so that a resumed run goes on bit for bit.
 */
import type { ParameterSpec } from '../contracts/backbone.ts';
import type { OpenOptimizer } from '../contracts/optimizer.ts';
import type { RunContext } from '../contracts/recipe.ts';
import { ParameterSet } from '../autograd/parameters.ts';
import { Workspace, type Program } from '../autograd/program.ts';
import { Tape } from '../autograd/tape.ts';
import { ReasongenError, exitCodes } from '../errors.ts';
import { loadCheckpoint, newestGood, saveCheckpoint, type Json } from '../io/checkpoint.ts';
import type { TensorToStore } from '../io/safetensors.ts';
import { rateFactor, type Schedule } from './schedule.ts';
import { floats, openWeights, trainedWith } from './weights.ts';

export interface TrainingOptions extends Schedule {
  readonly steps: number;
  /** Where to start from; fresh weights from the run's seed when absent. */
  readonly weights?: string | undefined;
  /** Checkpoints kept beside the newest. */
  readonly keep: number;
}

/** JSON that a recipe keeps beside the weights; `step` counts finished steps. */
export interface TrainingState {
  readonly step: number;
  readonly [name: string]: Json;
}

export class Training {
  readonly parameters: ParameterSet;
  readonly workspace: Workspace;
  private readonly context: RunContext;
  private readonly options: TrainingOptions;
  private readonly optimizer: OpenOptimizer;
  private readonly update: Program;
  /** Finished optimizer updates: the bias correction counts them. */
  private updates = 0;

  private constructor(context: RunContext, options: TrainingOptions, workspace: Workspace, parameters: ParameterSet, optimizer: OpenOptimizer, update: Program) {
    this.context = context;
    this.options = options;
    this.workspace = workspace;
    this.parameters = parameters;
    this.optimizer = optimizer;
    this.update = update;
  }

  /** Builds weights and optimizer, and restores the newest good checkpoint when the run is resumed. */
  static async open(context: RunContext, specs: readonly ParameterSpec[], options: TrainingOptions): Promise<{ training: Training; state: TrainingState | undefined }> {
    const workspace = new Workspace(context.device);
    const parameters = new ParameterSet(context.device, specs, { seed: context.seed, trainable: () => true });
    if (options.weights !== undefined && !context.resume) {
      await openWeights(context, parameters, options.weights);
    }
    const optimizer = context.optimizer.open(parameters);
    const tape = new Tape(workspace);
    optimizer.record(tape);
    const training = new Training(context, options, workspace, parameters, optimizer, await tape.finish('optimizer update'));
    return { training, state: context.resume ? await training.restore() : undefined };
  }

  /** Learning rate of a step (from 1), for the metrics and the update. */
  learningRate(step: number): number {
    return this.context.optimizer.learningRate * rateFactor(step, this.options.steps, this.options);
  }

  /** Submits the update for the gradients accumulated so far. Does not wait. */
  applyUpdate(step: number): void {
    this.updates += 1;
    this.optimizer.prepare(this.updates, this.learningRate(step));
    this.update.run();
  }

  /** The tensor to read after an update: (gradient norm, applied). */
  get report(): OpenOptimizer['report'] {
    return this.optimizer.report;
  }

  /** Stops the run when an update could not have taught anything, naming the cause. */
  checkUpdate(step: number, norm: number, wasApplied: number): void {
    if (wasApplied === 0) {
      throw new ReasongenError({
        code: 'NOT_FINITE',
        message: `step ${step}: the gradient norm is not finite; the update was skipped and the weights are unchanged`,
        cure: 'lower optimizer.learningRate, raise recipe.warmup, and resume from the last checkpoint',
        exitCode: exitCodes.guard,
      });
    }
    if (norm === 0) {
      throw new ReasongenError({
        code: 'ZERO_GRADIENT',
        message: `step ${step}: every gradient is exactly zero, so this run would learn nothing`,
        cure: 'check that something is trained and that the loss weights are not all zero',
        exitCode: exitCodes.guard,
      });
    }
  }

  /** Writes a checkpoint. `score`: the higher the better; the best one is kept besides the newest. */
  async save(state: TrainingState, score?: number): Promise<void> {
    const { context, options } = this;
    const weights = new Map<string, TensorToStore>();
    for (const [name, { shape, data }] of await this.parameters.read()) weights.set(name, { shape, dtype: 'F32', data });
    const optimizer = new Map<string, TensorToStore>();
    for (const [name, tensor] of this.optimizer.state) {
      optimizer.set(name, { shape: tensor.shape, dtype: 'F32', data: await context.device.readFloats(tensor) });
    }
    const content = { weights, optimizer, metadata: trainedWith(context), state: { ...state, updates: this.updates, metrics: context.directory.metrics.position() } };
    await saveCheckpoint(context.directory.path, state.step, content, { keep: options.keep, ...(score === undefined ? {} : { score }) });
  }

  async close(): Promise<void> {
    await this.context.device.settle();
    this.update.dispose();
    this.workspace.close();
    this.parameters.close();
  }

  private async restore(): Promise<TrainingState> {
    const { context } = this;
    const { path, skipped } = await newestGood(context.directory.path);
    for (const { path: damaged, why } of skipped) context.log.warn(`checkpoint ${damaged} is passed over: ${why}`);
    const checkpoint = await loadCheckpoint(path);
    this.parameters.load(floats(checkpoint.weights, path), path);
    const moments = floats(checkpoint.optimizer, path);
    for (const [name, tensor] of this.optimizer.state) {
      const saved = moments.get(name);
      if (saved === undefined || saved.data.length !== tensor.shape[0]) {
        throw new ReasongenError({
          code: 'CHECKPOINT_OPTIMIZER',
          message: `${path} has no state "${name}" that fits this optimizer`,
          cure: 'resume with the preset the run was started with, or start a new run from these weights',
          exitCode: exitCodes.badPreset,
        });
      }
      context.device.write(tensor, saved.data);
    }
    const { updates, metrics, ...rest } = checkpoint.state;
    this.updates = Number(updates);
    context.directory.metrics.truncate(Number(metrics));
    return { ...rest, step: checkpoint.step };
  }
}
