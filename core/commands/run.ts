import { resolve } from 'node:path';
import { runsIn } from '../io/chain.ts';
import { readRunRecord } from '../io/records.ts';
import { type LoadedPreset, loadPreset } from '../preset/load.ts';
import { freeRunDirectory, isDone, presetOfRun, refuseExistingRun } from '../run.ts';
import { refreshPlugins } from '../run-inputs.ts';
import { type RuntimeOptions, runPreset } from '../runtime.ts';
import type { CommandContext } from './context.ts';

/** `run PRESET`: a new run in `--run-dir`, or in the next free `runs/NAME`. */
export async function run(file: string, context: CommandContext): Promise<number> {
  const { settings, runDirectory, environment } = context;
  if (runDirectory !== undefined) refuseExistingRun(resolve(runDirectory));
  const directoryOf = (name: string): string => resolve(runDirectory ?? freeRunDirectory(name));
  const loaded = await loadPreset(file, { settings, runDirectory: directoryOf, environment });
  return start(loaded, directoryOf(loaded.name), { resume: false }, context);
}

export interface ResumeOptions {
  /** Runs a recipe that has ended already once more. */
  readonly again?: boolean;
  /** Goes on although what the run works from has changed; asked with the changes where it depends on them. */
  readonly acceptChanges?: boolean | ((changes: readonly string[]) => boolean);
}

/** `resume DIRECTORY`: goes on where the run stopped, with the preset it was started with. */
export async function resume(
  directory: string,
  { acceptChanges = false, again = false }: ResumeOptions,
  context: CommandContext,
): Promise<number> {
  const file = presetOfRun(directory);
  const runDirectory = resolve(directory);
  const records = [];
  for (const path of await runsIn(runDirectory)) if (!(await isDone(path))) records.push(await readRunRecord(path));
  await refreshPlugins(runDirectory, records, acceptChanges === true);
  const loaded = await loadPreset(file, { settings: context.settings, runDirectory, environment: context.environment });
  const accept = typeof acceptChanges === 'function' ? acceptChanges : () => acceptChanges;
  return start(loaded, runDirectory, { resume: true, again, acceptChanges: accept }, context);
}

async function start(
  loaded: LoadedPreset,
  runDirectory: string,
  options: Pick<RuntimeOptions, 'resume' | 'again' | 'acceptChanges'>,
  context: CommandContext,
): Promise<number> {
  const { log, write, stop, signal, onHooks, command } = context;
  log.info(`run directory: ${runDirectory}`);
  const exitCode = await runPreset(loaded, { ...options, runDirectory, command, log, write, stop, signal, onHooks });
  if (stop.requested) log.info(`stopped: ${stop.reason}; go on with: npx reasongen resume ${runDirectory}`);
  return exitCode;
}
