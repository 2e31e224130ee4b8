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

  /** Fills device tensors from the file of that name. Throws when they do not fit, before anything is written. */
  load(stem: string, tensors: ReadonlyMap<string, Tensor>): Promise<void> {
    return this.use(stem, async (source) => {
      for (const [name, tensor] of tensors)
        if (!fits(tensor, source.entries.get(name))) throw this.doesNotFit(stem, name);
      for (const [name, tensor] of tensors) await fillFromSource(this.context.device, tensor, source, name);
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
    message: `its adapters were trained on other weights (${String(state['base']).slice(0, 12)}…) than recipe.weights names now (${hash.slice(0, 12)}…)`,
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
