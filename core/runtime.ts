/**
 * The main flow: a checked preset becomes a run. Read it from top to bottom: plugins are in the catalog, open the device,
 * build the named components, fire `start`, run the recipe, fire `finish`, dispose in reverse order of creation, write the report.
 */
import { dirname, resolve } from 'node:path';
import { buildComponents, withFields } from './components.ts';
import { type ComponentContainer, createContainer, type RunContainer } from './container.ts';
import type { Outcome } from './contracts/hooks.ts';
import type { Preset } from './contracts/preset.ts';
import type { Plan, Recipe } from './contracts/recipe.ts';
import { exitCodes, formatError, ReasongenError } from './errors.ts';
import { explainError, joinErrors } from './failure.ts';
import type { Device } from './gpu/device.ts';
import { availableMemory } from './gpu/host-memory.ts';
import { createHooks, type Hooks, type NamedExtension } from './hooks.ts';
import { openTunedDevice, recordedTuning, tuningRecord } from './tune.ts';
import { listCheckpoints } from './io/checkpoint.ts';
import type { RunFailure } from './io/records.ts';
import type { RunDirectory } from './io/run-directory.ts';
import { recordedLog, type Log } from './log.ts';
import { formatBytes, refuseWhatCannotFit, totalBytes } from './plan.ts';
import { StagePlanner } from './plan-stage.ts';
import { RewardFiles } from './reward-files.ts';
import { changedInputs, readInputs, refuseChanges } from './run-inputs.ts';
import { type RunRecord, readRunRecord } from './io/records.ts';
import { hasResults, writeReport } from './report/report.ts';
import type { LoadedPreset, Stage } from './preset/load.ts';
import {
  createRunDirectory,
  describeAdapter,
  isDone,
  isStarted,
  openRunDirectory,
  pluginCopies,
  resolvedPreset,
  type RunParts,
  stageDirectory,
  writeChain,
  writeStage,
} from './run.ts';
import type { RunStop } from './stop.ts';

export interface RuntimeOptions {
  readonly runDirectory: string;
  readonly resume: boolean;
  /** Runs a recipe that has ended already once more: one that looks at what is there and does what is missing. */
  readonly again?: boolean;
  /** Whether a resumed run goes on although what it works from has changed in these ways; it does not unless told. */
  readonly acceptChanges?: (changes: readonly string[]) => boolean;
  /** Program and arguments as typed, for the record. */
  readonly command: readonly string[];
  readonly log: Log;
  /** Results for standard output; nowhere unless told. */
  readonly write?: (text: string) => void;
  readonly stop: RunStop;
  /** Given up on: passed to judges. */
  readonly signal: AbortSignal;
  /** Told of the hooks of each stage, so that a program that ends in the middle can name a handler that hangs. */
  readonly onHooks?: (hooks: Hooks) => void;
  /** Instead of the best adapter of the machine. */
  readonly openDevice?: () => Promise<Device>;
}

/** Runs every stage of a preset, one after the other. Returns the exit code: 0, or that of the stop request. */
export async function runPreset(loaded: LoadedPreset, options: RuntimeOptions): Promise<number> {
  const { log, stop, resume, runDirectory } = options;
  // Before anything is made: a run whose preset cannot be written down could never be resumed.
  const copies = resume ? new Map<string, string>() : pluginCopies(loaded, runDirectory);
  const texts = loaded.stages.map((stage) => resolvedPreset(stage, loaded, runDirectory, copies));
  if (loaded.isChain && !resume) await writeChain(loaded, runDirectory, texts, copies);
  const plugins = createContainer(loaded.catalog.plugins);
  let hasRun = false;
  for (const [index, stage] of loaded.stages.entries()) {
    const directory = stageDirectory(loaded, stage, runDirectory);
    if (stop.requested) break;
    if (resume && (await isDone(directory)) && options.again !== true && !(await hasMoreSteps(stage, directory))) {
      log.info(`${stage.name} is done already`);
      continue;
    }
    // Begun with other settings than it was written down with.
    if (loaded.isChain && resume && !isStarted(directory)) await writeStage(directory, texts[index] ?? '');
    if (loaded.isChain) log.info(`stage ${index + 1} of ${loaded.stages.length}: ${stage.name}`);
    const own = loaded.isChain ? new Map<string, string>() : copies;
    await runStage(stage, { directory, text: texts[index] ?? '', copies: own }, loaded, plugins, options);
    hasRun = true;
  }
  if (resume && !hasRun && !stop.requested && loaded.stages.some(trains)) throw nothingLeft(loaded, runDirectory);
  if (hasRun) await report(runDirectory, log);
  return stop.exitCode;
}

/** A report tells of a run and decides nothing about it: one that cannot be made is a warning. */
async function report(runDirectory: string, log: Log): Promise<void> {
  try {
    if (await hasResults(runDirectory)) log.info(`report: ${await writeReport(runDirectory)}`);
  } catch (error) {
    log.warn(`no report was written: ${formatError(explainError(error)).replaceAll(/\n\s*/g, '; ')}`);
  }
}

/** A finished training goes on when more steps are asked for than it has taken. */
async function hasMoreSteps({ preset }: Stage, directory: string): Promise<boolean> {
  const steps = preset.components['recipe']?.[0]?.options['steps'];
  const taken = (await listCheckpoints(directory)).at(-1)?.step;
  return typeof steps === 'number' && taken !== undefined && steps > taken;
}

/** A recipe with steps trains something; the others have nothing to add to what they have done. */
function trains({ preset }: Stage): boolean {
  return preset.components['recipe']?.some(({ options }) => options['steps'] !== undefined) ?? false;
}

/** Whoever resumes wants something done; silence would look like success. */
function nothingLeft(loaded: LoadedPreset, runDirectory: string): ReasongenError {
  return new ReasongenError({
    code: 'NOTHING_TO_TRAIN',
    message: `${loaded.isChain ? 'every stage of this run' : 'this run'} is done: resuming it would train zero steps`,
    place: runDirectory,
    hint: `to train further: npx reasongen resume ${runDirectory} --set ${loaded.isChain ? 'STAGE.' : ''}recipe.steps=N, with more steps than it has taken`,
    exitCode: exitCodes.guard,
  });
}

async function runStage(
  stage: Stage,
  { directory: path, text, copies }: Omit<RunParts, 'inputs'> & { readonly directory: string },
  loaded: LoadedPreset,
  plugins: ComponentContainer,
  options: RuntimeOptions,
): Promise<void> {
  const { preset } = stage;
  const { stop, signal, write = () => {} } = options;
  const { log, recordIn } = recordedLog(options.log);
  const errors: unknown[] = [];
  let outcome: Outcome = 'failed';
  let hooks: Hooks | undefined;
  let directory: RunDirectory | undefined;
  const container = plugins.openRun({
    preset,
    log,
    path: pathOf(preset),
    openDevice: options.openDevice ?? openTunedDevice,
  });
  try {
    const inputs = await readInputs(stage, loaded);
    const isResumed = options.resume && isStarted(path);
    const changes = isResumed ? changedInputs((await readRunRecord(path)).inputs ?? {}, inputs) : [];
    if (changes.length > 0 && options.acceptChanges?.(changes) !== true) refuseChanges(changes, path);
    const device = await container.device();
    const plan = await planFor(device, container, stage, loaded, { log, resume: isResumed });
    const components = await buildComponents(container, preset);
    const recipe = await container.get('recipe');
    hooks = await tapHooks(container, preset, recipe, log);
    options.onHooks?.(hooks);
    directory = isResumed
      ? await openRunDirectory(path, options.command)
      : await createRunDirectory(stage, path, { text, inputs, copies }, components, device, options.command);
    recordIn(directory);
    if (isResumed) {
      await directory.describe({ inputs });
      await directory.writePreset(text);
    }
    for (const change of changes) {
      log.warn(`${change}; the run goes on with what is there now`);
      await directory.warn(change);
    }
    const resume = options.resume && (await hasCheckpoint(directory, stage, log));
    const otherAdapter = isResumed ? adapterChange(directory.record.adapter, device) : undefined;
    if (otherAdapter !== undefined) {
      log.warn(otherAdapter);
      await directory.warn(otherAdapter);
    } else if (resume) device.tuning = recordedTuning(directory.record.adapter) ?? device.tuning;
    await directory.describe({ adapter: { ...describeAdapter(device), ...tuningRecord(device.tuning) } });
    await hooks.start({ preset: preset.name, directory: path, resume });
    const files = await RewardFiles.open({ container, preset, directory, log }, components.rewards);
    const { rewards, beginStep } = files;
    const context = { preset, seed: preset.seed, directory, device, hooks, log, write, stop, resume, signal };
    if (!stop.requested) await recipe.run(withFields(components, { ...context, rewards, beginStep }));
    await noteMemory(directory, device, plan, log);
    outcome = stop.requested ? 'stopped' : 'done';
  } catch (error) {
    errors.push(error);
  }
  // Each of these happens whatever the others do; an error of theirs joins the first.
  const attempt = async (work: () => void | Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      errors.push(error);
      outcome = 'failed';
    }
  };
  await attempt(() => hooks?.finish({ outcome, directory: path, ...(errors.length > 0 && { error: errors[0] }) }));
  await attempt(() => container.dispose());
  const failure = errors.length > 0 ? explainError(errors[0]) : undefined;
  const note = failure?.message ?? stop.reason;
  if (failure !== undefined) await attempt(() => directory?.log(formatError(failure)));
  await attempt(() => directory?.close(outcome, note === '' ? undefined : note, failure && recorded(failure)));
  if (errors.length === 0) return;
  // A run that was never opened, because another process has it for instance, is not this one's to report on.
  if (directory !== undefined) await report(options.runDirectory, log);
  throw joinErrors(errors);
}

/** An error as run.json keeps it and the report shows it. */
function recorded({ code, message, place, hint }: ReasongenError): RunFailure {
  return { code, message, ...(place !== undefined && { place }), ...(hint !== undefined && { hint }) };
}

/** In words, when a run goes on elsewhere than where it was before. */
function adapterChange(before: RunRecord['adapter'], device: Device): string | undefined {
  const { description: now = '' } = describeAdapter(device);
  if (before['description'] === undefined || before['description'] === now) return undefined;
  return `the run went on ${before['description']} so far and goes on ${now} now: its numbers may differ from those of a run that did not move`;
}

/** Refuses what the adapter cannot hold, before anything is made on it. */
async function planFor(
  device: Device,
  container: RunContainer,
  stage: Stage,
  loaded: LoadedPreset,
  more: { readonly log: Log; readonly resume: boolean },
): Promise<Plan> {
  const target = { limits: device.limits, report: device.adapter, tuning: device.tuning };
  const planner = new StagePlanner({ container, loaded, stage, target, ...more });
  const plan = await planner.plan();
  const needed = totalBytes(plan);
  const availableBytes = device.adapter.isSoftware ? availableMemory() : await device.tryMemory(needed);
  const room = { limits: device.limits, availableBytes };
  await refuseWhatCannotFit(plan, room, () => planner.findSmaller(room));
  // What was made to measure kernels is gone, and no part of the run.
  device.peakBytes = device.memory.bytes;
  return plan;
}

async function noteMemory(directory: RunDirectory, device: Device, plan: Plan, log: Log): Promise<void> {
  const { peakBytes, created, submits, passes } = device.memory;
  const plannedBytes = totalBytes(plan);
  await directory.describe({ memory: { plannedBytes, peakBytes, buffers: created, submits, passes } });
  if (peakBytes > 0)
    log.info(`memory: at most ${formatBytes(peakBytes)} on the device; planned were ${formatBytes(plannedBytes)}`);
}

async function tapHooks(container: RunContainer, preset: Preset, recipe: Recipe, log: Log): Promise<Hooks> {
  const choices = preset.components['extension'] ?? [];
  const extensions = await container.getAll('extension');
  const named = extensions.map((extension, index): NamedExtension => {
    const { name = '', plugin, onError } = choices[index] ?? {};
    return {
      name,
      extension,
      ...(plugin !== undefined && { plugin }),
      ...(onError === 'warn' && { onError }),
    };
  });
  const own = Object.entries(recipe.extensions ?? {}).map(([name, extension]): NamedExtension => ({ name, extension }));
  return createHooks([...named, ...own], (message) => log.warn(message));
}

/** A run that ended before its first checkpoint starts over: what it has measured so far is void. */
async function hasCheckpoint(directory: RunDirectory, stage: Stage, log: Log): Promise<boolean> {
  if ((await listCheckpoints(directory.path)).length > 0) return true;
  if (trains(stage)) log.info('no checkpoint had been saved yet: starting from the beginning');
  directory.metrics.truncate(0);
  return false;
}

/** Paths of a preset are relative to its file. */
function pathOf(preset: Preset): (relative: string) => string {
  return (relative) => resolve(dirname(preset.file), relative);
}
