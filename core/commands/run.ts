import { resolve } from 'node:path';
import { loadPreset, type LoadPresetOptions } from '../preset/load.ts';
import { freeRunDirectory, presetOfRun, refuseExistingRun } from '../run.ts';
import { runPreset } from '../runtime.ts';
import type { CommandContext } from './context.ts';

/** `run PRESET`: a new run in `--run-dir`, or in the next free `runs/NAME`. */
export async function run(file: string, context: CommandContext): Promise<number> {
  const { settings } = context;
  const directory = resolve(context.runDirectory ?? freeRunDirectory((await loadPreset(file, { settings })).name));
  refuseExistingRun(directory);
  return start(file, directory, false, { settings }, context);
}

/** `resume DIRECTORY`: goes on where the run stopped, with the preset it was started with. */
export async function resume(directory: string, context: CommandContext): Promise<number> {
  const { settings } = context;
  return start(presetOfRun(directory), resolve(directory), true, { settings }, context);
}

async function start(
  file: string,
  runDirectory: string,
  isResumed: boolean,
  options: LoadPresetOptions,
  context: CommandContext,
): Promise<number> {
  const { log, write, stop, signal, onHooks, command } = context;
  const loaded = await loadPreset(file, { ...options, runDirectory });
  log.info(`run directory: ${runDirectory}`);
  const exitCode = await runPreset(loaded, {
    runDirectory,
    resume: isResumed,
    command,
    log,
    write,
    stop,
    signal,
    onHooks,
  });
  if (stop.requested) log.info(`stopped: ${stop.reason}; go on with: npx reasongen resume ${runDirectory}`);
  return exitCode;
}
