/**
 * What every training recipe shares: trained weights with their optimizer and average, one recorded update that is looked at
 * before it counts, and checkpoints that hold all of it, so that a resumed run goes on bit for bit.
 */
import type { ParameterSpec, Weights } from '../contracts/backbone.ts';
import type { OpenOptimizer } from '../contracts/optimizer.ts';
import type { RunContext } from '../contracts/recipe.ts';
import type { WeightSource } from '../contracts/weight-source.ts';
import type { ParameterSet } from '../weights/parameters.ts';
import { Workspace } from '../autograd/workspace.ts';
import { openProducts } from '../matrix-trial.ts';
import type { Program } from '../autograd/program.ts';
import type { Tape } from '../autograd/tape.ts';
import { saveCheckpoint, pruneCheckpoints, type Json } from '../io/checkpoint.ts';
import type { KnownCheckpoints } from '../io/checkpoint-manifest.ts';
import { deviceSource } from '../io/safetensors-stream.ts';
import { peftNames } from '../io/weight-files/low-rank.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { WeightAverage } from './average.ts';
import { Guards, type GuardLevels } from './guards.ts';
import { LowRank, refuseUnfit } from './low-rank.ts';
import { chooseTrained } from './name-patterns.ts';
import { OperandWatch } from './operands.ts';
import { rateFactor, unfinishedWarmup } from './schedule.ts';
import type { TrainingChoice } from './options.ts';
import {
  CheckpointReader,
  provenance,
  refuseNoSteps,
  refuseOtherBase,
  scoreOf,
  warnOtherProgram,
  warnOtherSchedule,
} from './checkpoint-state.ts';
import { layOutParts, writeParts } from './parted-state.ts';
import { openUpdate, type Update } from './update.ts';
import { rankName } from '../ranks/launched.ts';
import { gatherJson } from '../ranks/shares.ts';
import { checkBase, loadBase, makeBase, randomWeights, trainedWith } from '../models/weights.ts';

export type TrainingOptions = Pick<
  TrainingChoice,
  'schedule' | 'warmup' | 'minimumRate' | 'constantShare' | 'keep' | 'weights'
> &
  Partial<TrainingChoice> & { readonly steps: number; readonly guards?: Partial<GuardLevels> };

/** JSON that a recipe keeps beside the weights; `step` counts finished steps. */
export interface TrainingState {
  readonly step: number;
  readonly [name: string]: Json;
}

/** Weights a tape can ask gradients for. */
export interface TrainedWeights extends Weights {
  watch(tape: Tape): void;
}

/** An update that multiplies the weights by more has thrown the model away, whatever the gradient says. */
const largestGrowth = 10;

export class Training {
  /** Everything the backbone reads, adapters attached: what is drawn from and scored. */
  readonly weights: TrainedWeights;
  /** The same with the adapters' dropout, for a pass that learns. */
  readonly trainWeights: TrainedWeights;
  /** The model's own weights, without adapters. */
  readonly parameters: ParameterSet;
  readonly workspace: Workspace;
  private readonly context: RunContext;
  private readonly options: TrainingOptions;
  private readonly guards: Guards;
  /** What was lost of the values that updates multiplied, where tensor cores did. */
  readonly operands: OperandWatch;
  private readonly lowRank: LowRank | undefined;
  private readonly average: WeightAverage | undefined;
  private readonly update: Update;
  /** Further device tensors of checkpoints, by file. */
  private readonly attached = new Map<string, ReadonlyMap<string, Tensor>>();
  /** Those that need not be read again to be known as whole. */
  private readonly known: KnownCheckpoints = new Map();
  private restored: CheckpointReader | undefined;
  /** Finished optimizer updates: the bias correction counts them. */
  private updates = 0;
  /** Content hash of the weights the run began with; empty when they were fresh. */
  private baseHash = '';
  /** The step of the newest checkpoint; 0 without one. */
  private savedStep = 0;
  /** Whether a step has succeeded since the last save. */
  private isProven = true;
  /** Whether a checkpoint had the number of `keepBest`. */
  private isScored = false;
  /** Whether the gradients of the next update are those of all ranks. */
  private isComplete = false;
  /** Norms of the last update that was looked at, by part of the model. */
  gradientNorms: ReadonlyMap<string, number> = new Map();

  private constructor(context: RunContext, options: TrainingOptions, parts: Parts) {
    this.context = context;
    this.options = options;
    this.guards = new Guards(context.log, options.guards ?? {});
    this.operands = new OperandWatch('training', this.guards, options.lostShare ?? 1);
    this.workspace = parts.workspace;
    this.parameters = parts.parameters;
    this.lowRank = parts.lowRank;
    const trained = parts.lowRank?.adapters ?? parts.parameters;
    const watched = (weights: Weights): TrainedWeights => ({
      ...this.counted(weights),
      watch: (tape) => trained.watch(tape),
    });
    this.weights = watched(parts.lowRank?.weights() ?? parts.parameters);
    this.trainWeights = watched(parts.lowRank?.weights(undefined, true) ?? parts.parameters);
    this.average = parts.average;
    this.update = parts.update;
  }

  /** Builds weights and optimizer, and restores the newest good checkpoint when the run is resumed. */
  static async open(
    context: RunContext,
    specs: readonly ParameterSpec[],
    options: TrainingOptions,
  ): Promise<{ training: Training; state: TrainingState | undefined }> {
    const training = await Training.build(context, specs, options);
    if (context.resume) return { training, state: await training.restore() };
    await training.openBase();
    await training.average?.begin();
    return { training, state: undefined };
  }

  /** Everything on the device, weights fresh. For a plan, too, which reads the headers of what the run will begin with. */
  static async build(
    context: RunContext,
    specs: readonly ParameterSpec[],
    options: TrainingOptions,
  ): Promise<Training> {
    const { device, seed } = context;
    const { lora, ema, weights, storage = 'f32', train = ['*'], freeze = [] } = options;
    if (lora !== undefined) refuseUnfit(options, specs);
    const trainable =
      lora === undefined
        ? chooseTrained(
            specs.map(({ name }) => name),
            train,
            freeze,
          )
        : () => false;
    const products = await openProducts(device, options.precision ?? 'f32', context.log);
    const workspace = new Workspace(device, products);
    const parameters = await makeBase(context, specs, { weights, trainable, storage });
    if (device.isPlanning) {
      await checkBase(context, parameters, weights);
      const unfinished = unfinishedWarmup(options.steps, options);
      if (unfinished !== undefined) context.log.warn(unfinished);
    }
    const lowRank = lora === undefined ? undefined : new LowRank(device, specs, parameters, lora, seed);
    const trained = lowRank?.adapters ?? parameters;
    const average = ema === undefined ? undefined : new WeightAverage(trained, ema);
    const { optimizer, communicator } = context;
    const update = await openUpdate(trained, { optimizer, average, communicator, workspace });
    // Checkpoints are read back in pieces of this size: made now, so that a save needs no memory that nobody counted on.
    device.reserveReadBack(Math.max(...trained.arenas.map(({ elements }) => elements * 4)));
    const training = new Training(context, options, { workspace, parameters, lowRank, average, update });
    context.offerModel({
      weights: training.weights,
      evaluated: training.evaluationWeights,
      begunWith: weights,
      rest: () => workspace.rest(),
      ...(lowRank !== undefined && { start: parameters }),
    });
    return training;
  }

  /** What evaluations draw from: the average, where there is one and the preset does not say otherwise. */
  get evaluationWeights(): Weights {
    if (this.average === undefined || this.options.ema?.evaluate === false) return this.weights;
    return this.counted(this.lowRank?.weights(this.average) ?? this.average);
  }

  /** True when the weights themselves stay as they are: `parameters` is then the model the run began with. */
  get hasAdapters(): boolean {
    return this.lowRank !== undefined;
  }

  /** Says, before each pass that learns, what the adapters' dropout is drawn from: the pass's number in the run. */
  prepareDropout(pass: number): void {
    this.lowRank?.prepare((Math.imul(this.context.seed, 0x9e3779b1) + pass) >>> 0);
  }

  /** Learning rate of a step (from 1), for the metrics and the update. */
  learningRate(step: number): number {
    return this.context.optimizer.learningRate * rateFactor(step, this.options.steps, this.options);
  }

  /**
   * Runs the program that completes the gradients of this rank (the last micro-batch of an update; a rank may have none) and adds up those of all
   * ranks meanwhile. Once before each update, on every rank. Does not wait for the device unless there are others.
   */
  async completeGradients(last: Program | undefined): Promise<void> {
    await this.update.complete(last);
    this.isComplete = true;
  }

  /** Submits the update for the gradients that all ranks have accumulated so far. Does not wait for the device unless there are others. */
  async applyUpdate(step: number): Promise<void> {
    if (!this.isComplete) throw new RangeError('an update has no gradients of all ranks');
    this.isComplete = false;
    this.updates += 1;
    this.update.optimizer.prepare(this.updates, this.learningRate(step));
    this.average?.prepare(this.updates);
    await this.update.run();
  }

  /** The tensor to read after an update: (gradient norm, applied). */
  get report(): OpenOptimizer['report'] {
    return this.update.optimizer.report;
  }

  /** Stops the run when an update could not have taught anything or has destroyed the weights, naming the cause; before it is saved. `findOrigin` tells which kernel made the first number that is none. */
  async checkUpdate(
    step: number,
    norm: number,
    wasApplied: number,
    findOrigin?: () => Promise<string | undefined>,
  ): Promise<void> {
    const { products } = this.workspace;
    if (products !== undefined) this.operands.add(await products.takeCounts());
    if (wasApplied === 0) {
      const origin = await this.originOfAny(await findOrigin?.());
      this.guards.trip('nonFinite', {
        code: 'NOT_FINITE',
        message: `step ${step}: the gradient norm is not finite; the update was skipped and the weights are unchanged${origin === undefined ? '' : ` (the first such number: ${origin})`}`,
        hint: 'lower optimizer.learningRate, raise recipe.warmup, and resume from the last checkpoint',
      });
      return;
    }
    if (norm === 0) {
      this.guards.trip('zeroGradient', {
        code: 'ZERO_GRADIENT',
        message: `step ${step}: every gradient is exactly zero, so this run would learn nothing`,
        hint: 'check that something is trained and that the loss weights are not all zero',
      });
    }
    const { gradientNorms, unmoved, unmovedShare, growth } = await this.update.watch.read();
    if (this.gradientNorms.size === 0) this.warnUntouched(gradientNorms);
    this.gradientNorms = gradientNorms;
    if (!(growth <= largestGrowth)) {
      this.guards.trip('diverged', {
        code: 'DIVERGED',
        message: `step ${step}: one update made the trained weights ${growth.toPrecision(3)} times as large; nothing of it is saved`,
        hint: 'lower optimizer.learningRate, raise recipe.warmup, and resume from the last checkpoint',
      });
    }
    // A schedule may end at a rate of zero; a rate of zero at any other step is a mistake.
    const isOver = this.learningRate(step) === 0 && step === this.options.steps && step > 1;
    if (unmovedShare > 0.5 && !isOver) {
      this.guards.trip('unmoved', {
        code: 'NOT_MOVED',
        message: `step ${step}: the gradient has norm ${norm.toPrecision(3)}, but at a learning rate of ${this.learningRate(step).toPrecision(3)} the update changed no bit of ${(100 * unmovedShare).toFixed(0)} % of the trained weights, ${unmoved[0]} among them`,
        hint: 'raise optimizer.learningRate: its steps vanish in the rounding of f32; look at the schedule when the rate is 0',
      });
    }
    await this.prune();
  }

  /**
   * Further tensors for checkpoints, as `NAME.safetensors`: a reference that changes, for instance. Resolves true when the run is
   * resumed and they have been loaded.
   */
  async attach(name: string, tensors: ReadonlyMap<string, Tensor>): Promise<boolean> {
    this.attached.set(name, tensors);
    if (this.restored === undefined) return false;
    await this.restored.load(name, tensors);
    return true;
  }

  /** Of what any rank has found, the first; named by its rank where there are several. */
  private async originOfAny(own: string | undefined): Promise<string | undefined> {
    const { communicator } = this.context;
    const found = await gatherJson(communicator, own ?? null);
    const rank = found.findIndex((each) => each !== null);
    const first = found[rank] ?? undefined;
    return first === undefined || communicator.size === 1
      ? first
      : `${first}, on ${rankName({ rank, size: communicator.size })}`;
  }

  /** Writes a checkpoint: the first rank does, which has all of it. `metrics`: the step's numbers, among which `keepBest` finds its own. */
  async save(state: TrainingState, metrics: Readonly<Record<string, number>> = {}): Promise<void> {
    const { context, options } = this;
    const { lowRank, average } = this;
    const sources = new Map<string, WeightSource>();
    const texts = new Map<string, string>();
    const store = (folder: string, stem: string, source: WeightSource): void => {
      if (lowRank === undefined) return void sources.set(stem, source);
      sources.set(`${folder}adapter_model`, peftNames(source, 'save'));
      texts.set(`${folder}adapter_config.json`, lowRank.configText(options.weights ?? '', this.baseHash));
    };
    store('', 'weights', (lowRank?.adapters ?? this.parameters).asSource());
    if (average !== undefined) store('average/', 'average', average.asSource());
    for (const [stem, tensors] of this.attached) sources.set(stem, deviceSource(context.device, tensors, stem));
    const more = {
      updates: this.updates,
      steps: options.steps,
      metrics: context.directory.metrics.position(),
      base: this.baseHash,
      ...provenance(context),
    };
    const score = scoreOf(options.keepBest, metrics);
    this.isScored ||= score !== undefined;
    const content = { sources, texts, metadata: trainedWith(context), state: { ...state, ...more } };
    await this.withOptimizerState(async (source) => {
      sources.set('optimizer', source);
      await saveCheckpoint(context.directory.path, state.step, content, {
        prune: false,
        known: this.known,
        ...(score === undefined ? {} : { score }),
      });
    });
    this.isProven = false;
    this.savedStep = state.step;
  }

  /** On the first rank: `write` with the whole state of the optimizer. */
  private async withOptimizerState(write: (source: WeightSource) => Promise<void>): Promise<void> {
    const { device, communicator } = this.context;
    const { isPart, optimizer } = this.update;
    const { state } = optimizer;
    if (isPart) await writeParts({ device, state, communicator }, 'optimizer', write);
    else if (communicator.rank === 0) await write(deviceSource(device, state, 'optimizer'));
  }

  /**
   * Waits for what plugins do before or behind an update. When it fails, `step`, the last whole one, is saved first, so that the failure
   * costs no work (not over ranks that share out the state of the optimizer); an error of the saving is told, and the first one thrown.
   */
  async orSave<Result>(work: Promise<Result>, step: number, save: () => Promise<void>): Promise<Result> {
    try {
      return await work;
    } catch (error) {
      const { log } = this.context;
      if (step > this.savedStep && this.update.isPart)
        log.warn(
          `what was learnt since step ${this.savedStep} is not saved: every rank has a part of the optimizer's state, and they do not meet again after a failure`,
        );
      else if (step > this.savedStep) {
        try {
          await save();
          log.info(`step ${step}, the last whole one, is saved`);
        } catch (second) {
          log.warn(`step ${step} could not be saved: ${second instanceof Error ? second.message : String(second)}`);
        }
      }
      throw error;
    }
  }

  async close(): Promise<void> {
    const { keepBest } = this.options;
    await this.context.device.settle();
    await this.prune();
    if (keepBest !== undefined && !this.isScored)
      this.context.log.warn(
        `recipe.keepBest: no step that was saved had a number "${keepBest.metric}", so no best checkpoint is known`,
      );
    this.update.close();
    this.average?.close();
    this.lowRank?.close();
    this.workspace.products?.close();
    this.workspace.close();
    this.parameters.close();
  }

  /** The weights with what is known of their changes: only updates move them, and only what is trained. */
  private counted(weights: Weights): Weights {
    return {
      get: (name) => weights.get(name),
      moves: (name) => this.parameters.isTrained(name),
      version: () => this.updates,
    };
  }

  /** Said once: what is trained and gets nothing to learn from costs memory, and weight decay wears it away. */
  private warnUntouched(norms: ReadonlyMap<string, number>): void {
    const untouched = [...norms].filter(([, norm]) => norm === 0).map(([group]) => group);
    if (untouched.length === 0 || untouched.length === norms.size) return;
    this.context.log.warn(
      `no gradient reaches ${untouched.join(', ')}: freeze it with recipe.freeze, or give what it predicts a weight in the loss`,
    );
  }

  /** Older checkpoints go when the weights of the newest have proven themselves in a further step, or the run has ended well. */
  private async prune(): Promise<void> {
    if (this.isProven || this.context.communicator.rank !== 0) return;
    const { keep, keepEvery } = this.options;
    await pruneCheckpoints(this.context.directory.path, { keep, keepEvery }, this.known);
    this.isProven = true;
  }

  private async openBase(): Promise<void> {
    const { weights } = this.options;
    const { seed, log } = this.context;
    if (weights === randomWeights)
      log.warn(
        `the weights are random (seed ${seed}), made on the device: good for measuring speed and memory, not for training a model`,
      );
    this.baseHash = await loadBase(this.context, this.parameters, weights);
  }

  private async restore(): Promise<TrainingState> {
    const { context, options } = this;
    const reader = await CheckpointReader.newest(context);
    warnOtherProgram(context, reader);
    warnOtherSchedule(context, reader, options);
    refuseNoSteps(reader.step, options.steps, reader.path);
    if (reader.step === options.steps)
      context.log.info(`all ${reader.step} steps were trained before; what is left is to finish the run`);
    const { lowRank, average } = this;
    if (lowRank !== undefined) {
      await this.openBase();
      refuseOtherBase(reader, this.baseHash);
    }
    const load = (folder: string, stem: string, into: (source: WeightSource) => Promise<unknown>): Promise<void> =>
      lowRank === undefined
        ? reader.use(stem, into)
        : reader.use(`${folder}adapter_model`, (source) => into(peftNames(source, 'load')));
    await load('', 'weights', (source) => (lowRank?.adapters ?? this.parameters).loadFrom(source));
    if (average !== undefined) await load('average/', 'average', (source) => average.restore(source));
    const { isPart, optimizer } = this.update;
    await reader.load(
      'optimizer',
      optimizer.state,
      isPart ? await layOutParts(optimizer.state, context.communicator) : undefined,
    );
    this.restored = reader;
    const {
      updates,
      metrics,
      base,
      preset: _preset,
      program: _program,
      inputs: _inputs,
      steps: _steps,
      ...rest
    } = reader.state;
    this.savedStep = reader.step;
    this.updates = Number(updates);
    this.baseHash = typeof base === 'string' ? base : '';
    context.directory.metrics.truncate(Number(metrics));
    return { ...rest, step: reader.step };
  }
}

interface Parts {
  readonly workspace: Workspace;
  readonly parameters: ParameterSet;
  readonly lowRank: LowRank | undefined;
  readonly average: WeightAverage | undefined;
  readonly update: Update;
}
