import { existsSync, statSync } from 'node:fs';
import { createContainer, type RunContainer } from '../container.ts';
import type { Executor } from '../contracts/executor.ts';
import type { Preset } from '../contracts/preset.ts';
import { exitCodes, ReasongenError } from '../errors.ts';
import type { Device } from '../gpu/device.ts';
import { loadPreset } from '../preset/load.ts';
import { presetOfRun } from '../run.ts';
import type { CommandContext } from './context.ts';

/** The executor that a preset, or the run in a directory, names, with the other components of its stage. `container` is to be disposed. */
export async function openExecutorOf(
  file: string,
  { settings, log, environment }: CommandContext,
  openDevice: () => Promise<Device>,
  { isWorker }: { readonly isWorker: boolean },
): Promise<{ readonly preset: Preset; readonly container: RunContainer; readonly executor: Executor }> {
  const isRun = existsSync(file) && statSync(file).isDirectory();
  const { catalog, stages } = await loadPreset(isRun ? presetOfRun(file) : file, { settings, environment });
  const stage = stages.findLast(({ preset }) => (preset.components['executor'] ?? []).length > 0);
  if (stage === undefined) throw noQueue(file, 'names no executor, so its runs compute by themselves');
  const container = createContainer(catalog.plugins).openRun({ preset: stage.preset, log, openDevice, isWorker });
  try {
    return { preset: stage.preset, container, executor: await container.get('executor') };
  } catch (error) {
    await container.dispose();
    throw error;
  }
}

export function noQueue(file: string, why: string): ReasongenError {
  return new ReasongenError({
    code: 'NO_QUEUE',
    message: `the preset ${why}`,
    place: file,
    hint: 'name one with a queue: executor: bullmq, or --set executor=bullmq',
    exitCode: exitCodes.badPreset,
  });
}
