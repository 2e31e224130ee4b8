/**
 * The main flow: a checked preset becomes a run. Read it from top to bottom: plugins are in the catalog, open the device,
 * build the named components, fire `start`, run the recipe, fire `finish`, dispose in reverse order of creation, write the report.
 */
import { compileAhead } from './compile-ahead.ts';
import { buildComponents, withFields } from './components.ts';
import { type ComponentContainer, createContainer, type RunContainer } from './container.ts';
import type { Communicator } from './contracts/communicator.ts';
import type { Outcome, StepEvent } from './contracts/hooks.ts';
import type { Preset } from './contracts/preset.ts';
import type { Asked, Plan, Recipe, RunContext } from './contracts/recipe.ts';
import { type Environment, processEnvironment } from './environment.ts';
import { exitCodes, formatError, PresetError, ReasongenError, shellWord } from './errors.ts';
import { explainError, joinErrors } from './failure.ts';
import type { Device } from './gpu/device.ts';
import { availableMemory } from './gpu/host-memory.ts';
import { createHooks, type Hooks, type NamedExtension, onlyLooks } from './hooks.ts';
import { openTunedDevice, recordedTuning, tuningRecord } from './tune.ts';
import { listCheckpoints, newestGood, savedSteps } from './io/checkpoint.ts';
import { removeTemporaries } from './io/disk.ts';
import type { RunFailure } from './io/records.ts';
import { readEvaluations } from './io/evaluation-records.ts';
import { followRun, type RunDirectory, tidyRun } from './io/run-directory.ts';
import { describeProgram } from './io/software.ts';
import { recordedLog, type Log } from './log.ts';
import { formatBytes, refuseWhatCannotFit, totalBytes } from './plan.ts';
import { StagePlanner, unknownAdapter } from './plan-stage.ts';
import { agreedStop, refuseDisagreement } from './ranks/agreed.ts';
import { isFirstRank } from './ranks/launched.ts';
import { gatherJson } from './ranks/shares.ts';
import { single } from './ranks/single.ts';
import { withCommunicator } from './ranks-of-run.ts';
import { refuseRanks } from './ranks/refused.ts';
import { RewardFiles } from './reward-files.ts';
import { changedInputs, changedPreset, readInputs, refuseChanges } from './run-inputs.ts';
import { listenForRequests, noRequests } from './run-requests.ts';
import { type RunRecord, readRunRecord } from './io/records.ts';
import { resultOf } from './report/report.ts';
import type { Catalog } from './preset/catalog.ts';
import { flatSettings } from './preset/flat-settings.ts';
import type { LoadedPreset, Stage } from './preset/load.ts';
import {
  createRunDirectory,
  describeAdapter,
  isDone,
  isStarted,
  openRunDirectory,
  pluginCopies,
  presetWithOrigins,
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
  /** The run stops after this step. */
  readonly stopAfter?: number;
  /** What a run did is done again to be compared: no report, and no extension that only looks. */
  readonly isReplay?: boolean;
  /** Told of the hooks of each stage, so that a program that ends in the middle can name a handler that hangs. */
  readonly onHooks?: (hooks: Hooks) => void;
  /** Instead of the best adapter of the machine. */
  readonly openDevice?: () => Promise<Device>;
  /** Tells the place of this process among others that train with it; that of the process unless told. */
  readonly environment?: Environment;
}

/** Runs every stage of a preset, one after the other. Returns the exit code: 0, or that of the stop request. */
export async function runPreset(loaded: LoadedPreset, options: RuntimeOptions): Promise<number> {
  const { log, stop, resume, runDirectory, environment = processEnvironment } = options;
  // The first rank alone writes.
  const isFirst = isFirstRank(environment);
  refuseUnloaded(loaded);
  // Before anything is made: a run whose preset cannot be written down could never be resumed.
  const copies = resume ? new Map<string, string>() : pluginCopies(loaded, runDirectory);
  const texts = loaded.stages.map((stage) => resolvedPreset(stage, loaded, runDirectory, copies));
  if (loaded.isChain && !resume && isFirst) await writeChain(loaded, runDirectory, texts, copies);
  // Those of the stages go when they are opened.
  if (loaded.isChain && resume && isFirst) await removeTemporaries(runDirectory);
  const plugins = createContainer(loaded.catalog.plugins);
  let hasRun = false;
  for (const [index, stage] of loaded.stages.entries()) {
    const directory = stageDirectory(loaded, stage, runDirectory);
    if (stop.requested) break;
    if (resume && (await isDone(directory)) && options.again !== true && !(await lacksSomething(stage, directory))) {
      log.info(`${stage.name} is done already`);
      if (isFirst) await tidy(directory, log);
      continue;
    }
    const own = loaded.isChain ? new Map<string, string>() : copies;
    const run = (each: Stage, more: Partial<RuntimeOptions> = {}): Promise<void> => {
      const parts = { text: texts[loaded.stages.indexOf(each)] ?? '', copies: own };
      const path = stageDirectory(loaded, each, runDirectory);
      return runStage(each, { directory: path, ...parts }, loaded, plugins, { ...options, ...more });
    };
    for (const earlier of isStarted(directory) ? [] : loaded.stages.slice(0, index).filter(trains)) {
      if (await isWhole(earlier, stageDirectory(loaded, earlier, runDirectory))) continue;
      log.warn(
        `the last checkpoint of ${earlier.name} is damaged: its last steps are taken again before ${stage.name}`,
      );
      await run(earlier, { resume: true });
    }
    if (stop.requested) break;
    // Begun with other settings than it was written down with.
    if (loaded.isChain && resume && isFirst && !isStarted(directory)) await writeStage(directory, texts[index] ?? '');
    if (loaded.isChain) log.info(`stage ${index + 1} of ${loaded.stages.length}: ${stage.name}`);
    await run(stage);
    hasRun = true;
  }
  if (resume && !hasRun && !stop.requested && loaded.stages.some(trains)) throw nothingLeft(loaded, runDirectory);
  if (hasRun && isFirst && options.isReplay !== true) await report(runDirectory, log);
  // A launcher ends all ranks where one ends with a code of its own: the first one tells how the run has ended.
  return isFirst ? stop.exitCode : exitCodes.done;
}

/** A program in JavaScript may give the path of a preset. */
function refuseUnloaded(loaded: unknown): void {
  if (typeof loaded === 'object' && loaded !== null && 'stages' in loaded) return;
  throw new PresetError({
    code: 'NOT_LOADED',
    message: 'runPreset runs what loadPreset gives',
    hint: 'write runPreset(await loadPreset(FILE, { runDirectory }), …)',
  });
}

/** Where nothing can be written nothing can be removed either, and nothing has to be. */
async function tidy(directory: string, log: Log): Promise<void> {
  try {
    await tidyRun(directory);
  } catch (error) {
    const { code, message } = explainError(error);
    if (!['DISK_READ_ONLY', 'DISK_FORBIDDEN'].includes(code)) throw error;
    log.debug(`${directory} was not tidied: ${message}`);
  }
}

/** A report tells of a run and decides nothing about it: one that cannot be made is a warning. */
async function report(runDirectory: string, log: Log): Promise<void> {
  try {
    const result = await resultOf(runDirectory);
    if (result === undefined) return;
    log.info(result.headline);
    log.info(`report: ${await result.write()}`);
  } catch (error) {
    log.warn(`no report was written: ${formatError(explainError(error)).replaceAll(/\n\s*/g, '; ')}`);
  }
}

/** A finished run goes on where more steps are asked for than it has taken, and an evaluation where judges did not answer. */
async function lacksSomething(stage: Stage, directory: string): Promise<boolean> {
  if (trains(stage)) return hasMoreSteps(stage, directory);
  return (await readEvaluations(directory)).some(({ counts }) => counts !== undefined && counts.judgeErrors > 0);
}

async function hasMoreSteps(stage: Stage, directory: string): Promise<boolean> {
  const taken = await savedSteps(directory);
  return taken !== undefined && stepsOf(stage) > taken;
}

/** Whether the checkpoint of a stage's last step verifies: a later stage must not begin from what it was some steps before. */
async function isWhole(stage: Stage, directory: string): Promise<boolean> {
  if ((await listCheckpoints(directory)).length === 0) return true;
  return (await newestGood(directory)).step >= stepsOf(stage);
}

/** 0 where a recipe has none. */
function stepsOf({ preset }: Stage): number {
  const steps = preset.components['recipe']?.[0]?.options['steps'];
  return typeof steps === 'number' ? steps : 0;
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
    hint: `to train further: npx reasongen resume ${shellWord(runDirectory)} --set ${loaded.isChain ? 'STAGE.' : ''}recipe.steps=N, with more steps than it has taken`,
    exitCode: exitCodes.guard,
  });
}

async function runStage(
  stage: Stage,
  { directory: path, text, copies }: Omit<RunParts, 'inputs' | 'origins'> & { readonly directory: string },
  loaded: LoadedPreset,
  plugins: ComponentContainer,
  options: RuntimeOptions,
): Promise<void> {
  const { signal, write = () => {}, isReplay = false, stopAfter, environment = processEnvironment } = options;
  const preset = withCommunicator(stage.preset, loaded.catalog, environment);
  const { log, recordIn, takeWarnings } = recordedLog(options.log);
  const errors: unknown[] = [];
  let outcome: Outcome = 'failed';
  let hooks: Hooks | undefined;
  let directory: RunDirectory | undefined;
  let communicator: Communicator | undefined;
  const container = plugins.openRun({
    preset,
    log,
    openDevice: options.openDevice ?? openTunedDevice,
  });
  try {
    [communicator = single] = await container.getAll('communicator');
    const ranks = communicator;
    const isFirst = ranks.rank === 0;
    const agreed = agreedStop(options.stop, ranks);
    const { stop } = agreed;
    const inputs = await readInputs(stage, loaded);
    const [isResumed = false] = await gatherJson(ranks, options.resume && isStarted(path));
    const changes = isResumed
      ? [...(await changedPreset(path)), ...changedInputs((await readRunRecord(path)).inputs ?? {}, inputs)]
      : [];
    if (changes.length > 0 && options.acceptChanges?.(changes) !== true) refuseChanges(changes, path);
    const recipe = await container.get('recipe');
    refuseRanks(recipe, preset, ranks);
    const doesWithout = recipe.mayDoWithoutDevice === true && (await needsNoMemory(container, stage, loaded, log));
    const device = doesWithout ? undefined : await container.device();
    const plan = device && (await planFor(device, container, stage, loaded, { log, resume: isResumed }));
    const components = await buildComponents(container, preset);
    const tapped = await tapHooks(container, preset, recipe, loaded.catalog, { log, onlyChanging: isReplay, isFirst });
    hooks = telling(tapped, takeWarnings, async (event) => {
      await refuseDisagreement(ranks, event);
      if (event.step === stopAfter) stop.request(`step ${stopAfter} is done`, exitCodes.done);
    });
    options.onHooks?.(hooks);
    const parts = { text, origins: presetWithOrigins(stage, loaded), inputs, copies };
    if (isFirst)
      directory = isResumed
        ? await openRunDirectory(path, options.command)
        : await createRunDirectory(stage, path, parts, components, device, options.command);
    // The others look at what the first has made.
    await gatherJson(ranks, null);
    directory ??= await followRun(path);
    recordIn(directory);
    if (isResumed) {
      const { versions } = describeProgram();
      for (const warning of programChanges(directory.record.versions, versions)) {
        log.warn(warning);
        await directory.warn(warning);
      }
      await directory.describe({ inputs, versions });
      await directory.writePreset(text);
    }
    for (const change of changes) {
      log.warn(`${change}; the run goes on with what is there now`);
      await directory.warn(change);
    }
    for (const note of device?.notes ?? []) {
      log.warn(note);
      await directory.warn(note);
    }
    const [resume = false] = await gatherJson(
      ranks,
      options.resume && isFirst && (await hasCheckpoint(directory, stage, log)),
    );
    const otherAdapter = isResumed && device ? adapterChange(directory.record.adapter, device) : undefined;
    if (otherAdapter !== undefined) {
      log.warn(otherAdapter);
      await directory.warn(otherAdapter);
    } else if (resume && device !== undefined)
      device.tuning = recordedTuning(directory.record.adapter) ?? device.tuning;
    if (device !== undefined)
      await directory.describe({ adapter: { ...describeAdapter(device), ...tuningRecord(device.tuning) } });
    await hooks.start({ preset: preset.name, directory: path, resume, settings: flatSettings(preset) });
    const files = await RewardFiles.open(
      // What one rank sees of an edit another may not have seen.
      { container, preset, directory, log, picksUp: ranks.size === 1 },
      components.rewards,
    );
    const { rewards, beginStep } = files;
    const offerModel: RunContext['offerModel'] = (model) => container.offerModel(opened(device), model);
    const listen = isFirst ? await listenForRequests(path, options.stop, log) : noRequests;
    const asked = async (): Promise<Asked> => agreed.agree(await listen());
    const context = { preset, seed: preset.seed, directory, hooks, log, write, stop, resume, signal, asked };
    const onDevice = {
      get device() {
        return opened(device);
      },
    };
    const all = withFields(components, { ...context, rewards, beginStep, offerModel });
    if (!stop.requested) await recipe.run(withFields(all, onDevice));
    if (device !== undefined && plan !== undefined) await noteDevice(directory, device, plan, log);
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
  const note = failure?.message ?? options.stop.reason;
  if (failure !== undefined) await attempt(() => directory?.log(formatError(failure)));
  await attempt(() => directory?.close(outcome, note === '' ? undefined : note, failure && recorded(failure)));
  const ends = await communicator?.end(failure && formatError(failure));
  if (errors.length === 0) return;
  // What all have failed with the first one tells.
  if (ends !== undefined && communicator?.rank !== 0 && ends[0] !== undefined) return;
  // A run that was never opened, because another process has it for instance, is not this one's to report on.
  if (directory !== undefined && !isReplay && communicator?.rank === 0) await report(options.runDirectory, log);
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

/** In words, when a run goes on under other versions than it ran under before. */
function programChanges(before: RunRecord['versions'], now: RunRecord['versions']): string[] {
  return Object.entries(now)
    .filter(([name, version]) => before[name] !== undefined && before[name] !== version)
    .map(
      ([name, version]) =>
        `the run went on under ${name} ${before[name]} so far and goes on under ${version} now: its numbers may differ from those of a run that did not change`,
    );
}

function opened(device: Device | undefined): Device {
  if (device === undefined) throw new RangeError('unreachable: this run has no device');
  return device;
}

/** Whether a stage makes nothing on a device, its judges included. */
async function needsNoMemory(container: RunContainer, stage: Stage, loaded: LoadedPreset, log: Log): Promise<boolean> {
  const planner = new StagePlanner({ container, loaded, stage, log, target: unknownAdapter() });
  return totalBytes(await planner.plan()) === 0;
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
  await compileAhead(device, planner.kernels.values(), (count) =>
    more.log.info(`compiling ${count} kernels, once for this driver`),
  );
  // What was made to measure kernels is gone, and no part of the run.
  device.peakBytes = device.memory.bytes;
  return plan;
}

/** What a session took of the device, and which of its matrices multiplied. */
async function noteDevice(directory: RunDirectory, device: Device, plan: Plan, log: Log): Promise<void> {
  const { peakBytes, created, submits, passes } = device.memory;
  const plannedBytes = totalBytes(plan);
  const products = Array.from(device.matricesUsed, ([precision, shape]) => `${precision} on matrices of ${shape}`);
  await directory.describe({
    memory: { plannedBytes, peakBytes, buffers: created, submits, passes },
    ...(products.length > 0 && { adapter: { products: products.join(', ') } }),
  });
  if (peakBytes > 0)
    log.info(`memory: at most ${formatBytes(peakBytes)} on the device; planned were ${formatBytes(plannedBytes)}`);
}

async function tapHooks(
  container: RunContainer,
  preset: Preset,
  recipe: Recipe,
  catalog: Catalog,
  { log, onlyChanging, isFirst }: { readonly log: Log; readonly onlyChanging: boolean; readonly isFirst: boolean },
): Promise<Hooks> {
  const choices = preset.components['extension'] ?? [];
  const extensions = await container.getAll('extension');
  const changing = (_: unknown, index: number): boolean => {
    const [extension, choice] = [extensions[index], choices[index]];
    const declared = catalog.component('extension', choice?.use ?? '')?.onlyLooks === true;
    return extension !== undefined && !declared && !onlyLooks(extension);
  };
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
  const heard = onlyChanging ? [...named.filter(changing), ...own] : [...named, ...own];
  // What only looks does so once for all ranks.
  return createHooks(isFirst ? heard : named.filter(changing), (message) => log.warn(message));
}

/** A run that ended before its first checkpoint starts over: what it has measured so far is void. */
async function hasCheckpoint(directory: RunDirectory, stage: Stage, log: Log): Promise<boolean> {
  if ((await listCheckpoints(directory.path)).length > 0) return true;
  if (trains(stage)) log.info('no checkpoint had been saved yet: starting from the beginning');
  directory.metrics.truncate(0);
  return false;
}

/** The hooks, whose events of a step and of the end tell what the run has warned of; `onStep` hears of every step when all have. */
function telling(
  hooks: Hooks,
  takeWarnings: () => readonly string[],
  onStep: (event: StepEvent) => Promise<void>,
): Hooks {
  return {
    ...hooks,
    step: async (event) => {
      await hooks.step({ ...event, warnings: takeWarnings() });
      await onStep(event);
    },
    finish: (event) => hooks.finish({ ...event, warnings: takeWarnings() }),
  };
}
