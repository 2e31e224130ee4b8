import { exitCodes, ReasongenError, shellWord } from '../errors.ts';
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { presetFile } from '../io/run-directory.ts';
import { runsIn } from '../io/chain.ts';
import { readRunRecord } from '../io/records.ts';
import { type LoadedPreset, loadPreset } from '../preset/load.ts';
import { isFirstRank, launchedAs, rankName } from '../ranks/launched.ts';
import { freeRunDirectory, isDone, presetOfRun, refuseExistingRun } from '../run.ts';
import { changedPreset, refreshPlugins, refuseChanges } from '../run-inputs.ts';
import { type RuntimeOptions, runPreset } from '../runtime.ts';
import { tellSupervisor } from '../supervisor.ts';
import { startBeside } from '../watch/beside.ts';
import type { CommandContext } from './context.ts';
import { pageToken } from './page-token.ts';

/** `run PRESET`: a new run in `--run-dir`, or in the next free `runs/NAME`. */
export async function run(file: string, context: CommandContext, page: PageOptions = {}): Promise<number> {
  const { settings, runDirectory, environment } = context;
  if (runDirectory === undefined) refuseNoDirectory(environment);
  else if (hasRestarted(context, runDirectory)) return resume(runDirectory, page, context);
  else if (isFirstRank(environment)) refuseExistingRun(resolve(runDirectory));
  const directoryOf = (name: string): string => resolve(runDirectory ?? freeRunDirectory(name));
  const loaded = await loadPreset(file, { settings, runDirectory: directoryOf, environment });
  return start(loaded, directoryOf(loaded.name), { resume: false }, context, page);
}

/** A scheduler has started the job once more: what it began is gone on with. */
function hasRestarted({ environment, log }: CommandContext, directory: string): boolean {
  const restarts = Number(environment['SLURM_RESTART_COUNT'] ?? 0);
  if (!(restarts > 0)) return false;
  const isThere = existsSync(join(resolve(directory), presetFile));
  log.info(
    `Slurm has started this job again (SLURM_RESTART_COUNT=${restarts}): ${isThere ? 'the run is gone on with' : 'no run had begun'}`,
  );
  return isThere;
}

/** Ranks that each choose the next free directory choose different ones. */
function refuseNoDirectory(environment: CommandContext['environment']): void {
  const launched = launchedAs(environment);
  if (launched === undefined) return;
  throw new ReasongenError({
    code: 'NO_RUN_DIRECTORY',
    message: `this process was started as ${rankName(launched)}, and nothing says which directory all of them share`,
    hint: 'name one with --run-dir DIRECTORY, or start the run with `npx reasongen launch`, which chooses one',
    exitCode: exitCodes.badPreset,
  });
}

/** The live page beside the run. */
export interface PageOptions {
  readonly watch?: boolean;
  readonly port?: number;
  readonly control?: boolean;
}

export interface ResumeOptions extends PageOptions {
  /** Runs a recipe that has ended already once more. */
  readonly again?: boolean;
  /** Goes on although what the run works from has changed; asked with the changes where it depends on them. */
  readonly acceptChanges?: boolean | ((changes: readonly string[]) => boolean);
}

/** `resume DIRECTORY`: goes on where the run stopped, with the preset it was started with. */
export async function resume(
  directory: string,
  { acceptChanges = false, again = false, ...page }: ResumeOptions,
  context: CommandContext,
): Promise<number> {
  const file = presetOfRun(directory);
  const runDirectory = resolve(directory);
  const accept = typeof acceptChanges === 'function' ? acceptChanges : () => acceptChanges;
  const edited = await changedPresets(runDirectory);
  if (edited.length > 0 && !accept(edited)) refuseChanges(edited, runDirectory);
  const records = [];
  for (const path of await runsIn(runDirectory)) if (!(await isDone(path))) records.push(await readRunRecord(path));
  if (isFirstRank(context.environment)) await refreshPlugins(runDirectory, records, acceptChanges === true);
  const loaded = await loadPreset(file, { settings: context.settings, runDirectory, environment: context.environment });
  return start(loaded, runDirectory, { resume: true, again, acceptChanges: accept }, context, page);
}

/** As `changedPreset`, of a run or of a chain and its stages that are not done. */
async function changedPresets(directory: string): Promise<string[]> {
  const changes = await changedPreset(directory);
  for (const { name } of (await readdir(directory, { withFileTypes: true })).filter((entry) => entry.isDirectory())) {
    const stage = join(directory, name);
    if (existsSync(join(stage, presetFile)) && !(await isDone(stage))) changes.push(...(await changedPreset(stage)));
  }
  return changes;
}

async function start(
  loaded: LoadedPreset,
  runDirectory: string,
  options: Pick<RuntimeOptions, 'resume' | 'again' | 'acceptChanges'>,
  context: CommandContext,
  { watch = false, port, control }: PageOptions,
): Promise<number> {
  const { log, write, writeSecret, stop, signal, onHooks, command, environment, openDevice } = context;
  log.info(`run directory: ${runDirectory}`);
  tellSupervisor(environment, { directory: runDirectory, goOn: `reasongen resume ${shellWord(runDirectory)}` });
  const page =
    watch && isFirstRank(environment)
      ? await startBeside({ folder: runDirectory, port, control, ...pageToken(environment) })
      : undefined;
  if (page !== undefined) writeSecret(`page: ${page.address}\n`);
  try {
    const device = openDevice && { openDevice };
    const told = { runDirectory, command, log, write, stop, signal, onHooks, environment };
    const exitCode = await runPreset(loaded, { ...options, ...told, ...device });
    if (stop.requested && isServer(loaded)) {
      log.info(`stopped: ${stop.reason}`);
      // To be told to stop is how a server ends.
      return [exitCodes.interrupted, exitCodes.terminated].some((code) => code === exitCode)
        ? exitCodes.done
        : exitCode;
    }
    if (stop.requested)
      log.info(`stopped: ${stop.reason}; go on with: npx reasongen resume ${shellWord(runDirectory)}`);
    return exitCode;
  } finally {
    page?.close();
  }
}

/** Whether it works for whoever asks, and has nothing of its own to go on with. */
function isServer({ stages }: LoadedPreset): boolean {
  return stages.some(({ preset }) => preset.components['recipe']?.[0]?.name === 'serve');
}
