import { join, resolve } from 'node:path';
import { createContainer } from '../container.ts';
import { exitCodes } from '../errors.ts';
import { createHooks } from '../hooks.ts';
import { runsIn } from '../io/chain.ts';
import { takeLock } from '../io/lock.ts';
import { loadPreset } from '../preset/load.ts';
import { presetOfRun } from '../run.ts';
import type { CommandContext } from './context.ts';

/** `sync DIRECTORY`: the extensions of a run, or of each stage of a chain, send what they could not send while it was going. */
export async function sync(directory: string, context: CommandContext): Promise<number> {
  presetOfRun(directory);
  for (const path of await runsIn(resolve(directory))) await syncRun(path, context);
  return exitCodes.done;
}

async function syncRun(path: string, { log, environment }: CommandContext): Promise<void> {
  const { catalog, stages } = await loadPreset(presetOfRun(path), { environment });
  const preset = stages[0]?.preset;
  if (preset === undefined) return;
  // A run that is going sends by itself.
  const lock = await takeLock(join(path, 'lock'));
  const container = createContainer(catalog.plugins).openRun({
    preset,
    log,
    openDevice: () => Promise.reject(new Error('sending needs no device')),
  });
  try {
    const extensions = await container.getAll('extension');
    for (const [index, extension] of extensions.entries()) {
      const name = preset.components['extension']?.[index]?.name ?? '';
      if (extension.sync === undefined) continue;
      await createHooks([{ name, extension }]).sync({ directory: path });
      log.info(`${name}: all is sent`);
    }
  } finally {
    await container.dispose();
    lock.release();
  }
}
