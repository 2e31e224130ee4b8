/** What a run reads and does not own: noted when it starts, compared when it goes on. Its plugins it keeps copies of. */
import { existsSync } from 'node:fs';
import { copyFile, mkdir, rename, rm, writeFile } from './io/files.ts';
import { basename, dirname, join, relative } from 'node:path';
import { PresetError } from './errors.ts';
import { diskError } from './io/disk.ts';
import { inputHash } from './io/input-hash.ts';
import type { RecordedInput, RunRecord } from './io/records.ts';
import type { LoadedPreset, Stage } from './preset/load.ts';
import { inputsOf } from './preset/inputs.ts';
import { fileOfPlugin } from './preset/plugins.ts';
import {
  copiesFolder,
  filesOfPlugin,
  hashOfPlugin,
  originOfCopy,
  originsFile,
  type PluginOrigin,
  readOrigins,
} from './preset/plugin-files.ts';

export type RecordedInputs = Readonly<Record<string, RecordedInput>>;

/** Everything a stage reads, by the option that names it, plugins by their place in the list. */
export async function readInputs({ preset }: Stage, { catalog }: LoadedPreset): Promise<RecordedInputs> {
  const inputs: Record<string, RecordedInput> = {};
  for (const [index, plugin] of preset.plugins.entries()) {
    const file = fileOfPlugin(plugin, preset.file);
    if (file !== undefined)
      inputs[`plugins[${index}]`] = { path: originOfCopy(file) ?? file, sha256: hashOfPlugin(file) };
  }
  for (const [option, path] of inputsOf(preset, catalog))
    if (existsSync(path)) inputs[option] = { path, sha256: await inputHash(path) };
  return inputs;
}

/** What is otherwise than a run's record says, in words; empty when nothing is. */
export function changedInputs(recorded: RecordedInputs, now: RecordedInputs): string[] {
  return Object.entries(recorded).flatMap(([option, before]) => {
    const after = now[option];
    if (after === undefined || after.sha256 === before.sha256) return [];
    const where = after.path === before.path ? after.path : `${after.path} (it was ${before.path})`;
    return [`${option}: the content of ${where} has changed since the run began`];
  });
}

/** Throws INPUTS_CHANGED. */
export function refuseChanges(changes: readonly string[], directory: string): never {
  throw new PresetError({
    code: 'INPUTS_CHANGED',
    message: `what this run works from is no longer what it began with: ${changes.join('; ')}`,
    place: directory,
    hint: 'put the former files back; or go on with the new ones, which then stands in run.json: resume with --accept-changes',
  });
}

/** Copies plugins into the directory of a run, all or none. `copies`: as `copiesOfPlugins` says. */
export async function copyPlugins(copies: ReadonlyMap<string, string>, directory: string): Promise<void> {
  if (copies.size === 0) return;
  const origins: Record<string, PluginOrigin> = {};
  await replaceFolder(join(directory, copiesFolder), async (folder) => {
    for (const [index, plugin] of [...copies.keys()].entries())
      origins[index + 1] = await copyPlugin(plugin, join(folder, String(index + 1)));
    await writeFile(join(folder, originsFile), `${JSON.stringify(origins, null, 2)}\n`);
  });
}

/** Copies the files of a plugin, with their places among each other. */
export async function copyPlugin(plugin: string, into: string): Promise<PluginOrigin> {
  const { files, folder } = filesOfPlugin(plugin);
  for (const file of files) {
    const copy = join(into, relative(folder, file));
    await mkdir(dirname(copy), { recursive: true });
    await copyFile(file, copy);
  }
  return { file: plugin, folder };
}

/** The folder gets its name when all of it is there. */
async function replaceFolder(path: string, fill: (folder: string) => Promise<void>): Promise<void> {
  const temporary = join(dirname(path), `.tmp-${basename(path)}-${process.pid}`);
  try {
    await mkdir(temporary, { recursive: true });
    await fill(temporary);
    await rm(path, { recursive: true, force: true });
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { recursive: true, force: true });
    throw diskError(cause, 'copying plugins into the run', path);
  }
}

/**
 * Before a run's copies of plugins are loaded again: their originals may have been edited. Refused with what changed, or copied anew.
 * `records`: those of the run in the directory, or of the stages of a chain.
 */
export async function refreshPlugins(
  directory: string,
  records: readonly RunRecord[],
  acceptChanges: boolean,
): Promise<void> {
  const origins = readOrigins(directory);
  const plugins = records.flatMap(({ inputs = {}, edits = [] }) =>
    Object.entries(inputs)
      .filter(([option]) => option.startsWith('plugins['))
      .map(([option, { path, sha256 }]) => {
        // What was picked up while the run went on is known.
        const latest = edits.findLast(({ file, from }) => file === path && from === sha256);
        return [option, { path, sha256: latest?.sha256 ?? sha256 }] as const;
      }),
  );
  const changed = plugins.filter(([, { path, sha256 }]) => existsSync(path) && hashOfPlugin(path) !== sha256);
  if (changed.length > 0 && !acceptChanges) {
    refuseChanges(
      changed.map(([option, { path }]) => `${option}: ${path}, or a file it imports, has changed since the run began`),
      directory,
    );
  }
  for (const path of new Set(changed.map(([, input]) => input.path))) {
    const number = Object.keys(origins).find((each) => origins[each]?.file === path);
    // A plugin that works in the program's tree only was not copied.
    if (number === undefined) continue;
    await replaceFolder(join(directory, copiesFolder, number), async (folder) => void (await copyPlugin(path, folder)));
  }
}
