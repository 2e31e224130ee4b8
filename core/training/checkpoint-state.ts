/** What a checkpoint of a training run holds beside tensors, and how one is put back. */
import { join } from 'node:path';
import type { RunContext } from '../contracts/recipe.ts';
import type { WeightSource } from '../contracts/weight-source.ts';
import { ReasongenError, exitCodes } from '../errors.ts';
import { openNewest, sayPassedOver, type Json, type OpenCheckpoint } from '../io/checkpoint.ts';
import { describeProgram } from '../io/software.ts';
import { fillFromSource, fits } from '../io/safetensors-stream.ts';
import { openSafetensors } from '../io/weight-files/safetensors-source.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { PartedTensor } from './parted-state.ts';
import { rateFactor, type Schedule } from './schedule.ts';
import type { TrainingChoice } from './options.ts';

/** A verified checkpoint, open for being put back. */
export class CheckpointReader {
  readonly path: string;
  readonly step: number;
  readonly state: { readonly [name: string]: Json };
  private readonly context: RunContext;
  private readonly files: readonly string[];

  private constructor(context: RunContext, { path, step, state, files }: OpenCheckpoint) {
    this.context = context;
    this.path = path;
    this.step = step;
    this.state = state;
    this.files = files;
  }

  /** The newest good one of the run; says and records which damaged ones are passed over. */
  static async newest(context: RunContext): Promise<CheckpointReader> {
    const checkpoint = await openNewest(context.directory.path);
    for (const warning of sayPassedOver(checkpoint.skipped, checkpoint.path)) {
      context.log.warn(warning);
      await context.directory.warn(warning);
    }
    return new CheckpointReader(context, checkpoint);
  }

  /** Opens the file of that name for as long as `work` takes. Throws CHECKPOINT_STATE when there is none. */
  async use(stem: string, work: (source: WeightSource) => Promise<unknown>): Promise<void> {
    if (!this.files.includes(`${stem}.safetensors`)) throw this.doesNotFit(stem, stem);
    const source = await openSafetensors(join(this.path, `${stem}.safetensors`));
    try {
      await work(source);
    } finally {
      await source.close();
    }
  }

  /** Fills device tensors from the file of that name; those of `parts` with this rank's part of what is stored. Throws when they do not fit, before anything is written. */
  load(
    stem: string,
    tensors: ReadonlyMap<string, Tensor>,
    parts: ReadonlyMap<string, PartedTensor> = new Map(),
  ): Promise<void> {
    const { device, communicator } = this.context;
    return this.use(stem, async (source) => {
      for (const [name, tensor] of tensors)
        if (!fits(tensor, source.entries.get(name), parts.get(name)?.starts.at(-1))) throw this.doesNotFit(stem, name);
      for (const [name, tensor] of tensors)
        await fillFromSource(device, tensor, source, name, parts.get(name)?.starts[communicator.rank]);
    });
  }

  private doesNotFit(stem: string, name: string): ReasongenError {
    return new ReasongenError({
      code: stem === 'optimizer' ? 'CHECKPOINT_OPTIMIZER' : 'CHECKPOINT_STATE',
      message: `${this.path} has no state "${name}" that fits this ${stem}`,
      hint: 'resume with the preset the run was started with, or start a new run from these weights',
      exitCode: exitCodes.badPreset,
    });
  }
}

/** Preset and program a checkpoint was made by, and what the run worked from. */
export function provenance(context: RunContext): {
  readonly preset: string;
  readonly program: string;
  readonly inputs: Readonly<Record<string, string>>;
} {
  const { versions, commit } = describeProgram();
  const { inputs = {} } = context.directory.record;
  return {
    preset: context.preset.name,
    program: [versions['reasongen'], commit].filter(Boolean).join(' '),
    inputs: Object.fromEntries(Object.entries(inputs).map(([option, { sha256 }]) => [option, sha256])),
  };
}

/** Says when a checkpoint was made by another program: its numbers may then differ from an uninterrupted run's. */
export function warnOtherProgram(context: RunContext, { state, path }: CheckpointReader): void {
  const { program } = provenance(context);
  const made = state['program'];
  if (typeof made === 'string' && made !== program)
    context.log.warn(
      `${path} was saved by reasongen ${made}; this is ${program}: the rest of the run may differ from one that was not interrupted`,
    );
}

/** Says when steps that were taken had other learning rates than a run of as many steps as are wanted now would have given them. */
export function warnOtherSchedule(
  context: RunContext,
  { state, step }: CheckpointReader,
  options: Schedule & { readonly steps: number },
): void {
  const before = state['steps'];
  if (typeof before !== 'number' || before === options.steps) return;
  const differs = (at: number): boolean => rateFactor(at, before, options) !== rateFactor(at, options.steps, options);
  const first = Array.from({ length: step }, (_, index) => index + 1).find(differs);
  const { log } = context;
  if (first === undefined)
    return log.info(`${options.steps} steps instead of ${before}: the end will be that of a run begun with as many`);
  const rate = (steps: number): string =>
    (context.optimizer.learningRate * rateFactor(step, steps, options)).toPrecision(3);
  log.warn(
    `${options.steps} steps instead of ${before} stretch the schedule: from step ${first} on the steps taken had other learning rates (step ${step}: ${rate(before)}) than a run begun with ${options.steps} would have given them (${rate(options.steps)}); the rest follows the new schedule`,
  );
}

/** Stops a resume that has nothing to do: fewer steps are asked for than are done. */
export function refuseNoSteps(done: number, wanted: number, path: string): void {
  if (done <= wanted) return;
  throw new ReasongenError({
    code: 'NOTHING_TO_TRAIN',
    message: `${done} steps are done and recipe.steps is ${wanted}: resuming would train nothing`,
    place: path,
    hint: `set recipe.steps above ${done}, or start a new run`,
    exitCode: exitCodes.guard,
  });
}

/** Adapters belong to the weights they were trained on, to the bit. */
export function refuseOtherBase({ state, path }: CheckpointReader, hash: string): void {
  if (state['base'] === hash) return;
  throw new ReasongenError({
    code: 'OTHER_BASE',
    message: `its adapters were trained on other weights (${JSON.stringify(state['base'] ?? '').slice(0, 12)}…) than recipe.weights names now (${hash.slice(0, 12)}…)`,
    place: path,
    hint: 'put the former weights back',
    exitCode: exitCodes.badPreset,
  });
}

/** The higher the better, for `best.json`; undefined when the step has no such number. */
export function scoreOf(
  keepBest: TrainingChoice['keepBest'],
  metrics: Readonly<Record<string, number>>,
): number | undefined {
  if (keepBest === undefined) return undefined;
  const value = metrics[keepBest.metric];
  if (value === undefined || !Number.isFinite(value)) return undefined;
  return keepBest.mode === 'max' ? value : -value;
}
