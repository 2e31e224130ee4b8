/** What a run reads and does not own: noted when it starts, compared when it goes on. Its plugins it keeps copies of. */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { copyFile, mkdir, rename, rm, writeFile } from './io/files.ts';
import { basename, dirname, join, relative } from 'node:path';
import { PresetError } from './errors.ts';
import { diskError, syncDirectory, syncFile } from './io/disk.ts';
import { inputHash } from './io/input-hash.ts';
import { installedVersion } from './io/installed-package.ts';
import type { RecordedInput, RunRecord } from './io/records.ts';
import { presetFile } from './io/run-directory.ts';
import { isAsWritten } from './preset/checksum.ts';
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
    if (file === undefined) continue;
    const path = originOfCopy(file) ?? file;
    const version = installedVersion(path);
    inputs[`plugins[${index}]`] = { path, sha256: hashOfPlugin(file), ...(version !== undefined && { version }) };
  }
  for (const [option, { path, textsOf }] of inputsOf(preset, catalog))
    if (existsSync(path)) inputs[option] = { path, sha256: await inputHash(path, textsOf) };
  return inputs;
}

/** What is otherwise than a run's record says, in words; empty when nothing is. */
export function changedInputs(recorded: RecordedInputs, now: RecordedInputs): string[] {
  return Object.entries(recorded).flatMap(([option, before]) => {
    const after = now[option];
    if (after === undefined) return [];
    const where = after.path === before.path ? after.path : `${after.path} (it was ${before.path})`;
    if (isOtherVersion(before.version, after.version))
      return [`${option}: ${where} is version ${after.version}, and the run began with ${before.version}`];
    return after.sha256 === before.sha256 ? [] : [`${option}: the content of ${where} has changed since the run began`];
  });
}

/** A copy of a package has no version where its original is gone. */
function isOtherVersion(before: string | undefined, now: string | undefined): boolean {
  return before !== undefined && now !== undefined && before !== now;
}

/** The preset in the directory of a run, where it is not the one that was written there; in words, as `changedInputs`. */
export async function changedPreset(directory: string): Promise<string[]> {
  const text = await readFile(join(directory, presetFile), 'utf8').catch((cause: unknown) => {
    throw diskError(cause, 'reading the preset of the run', directory);
  });
  if (isAsWritten(text)) return [];
  return [
    `${join(directory, presetFile)} is not as the run wrote it: it was edited, or has been damaged (\`resume --set\` is the way to change settings)`,
  ];
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
    await syncFolder(temporary);
    await rm(path, { recursive: true, force: true });
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  } catch (cause) {
    await rm(temporary, { recursive: true, force: true });
    throw diskError(cause, 'copying plugins into the run', path);
  }
}

/** All files of a folder and their names. */
async function syncFolder(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    await (entry.isDirectory() ? syncFolder(path) : syncFile(path));
  }
  await syncDirectory(folder);
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
      .map(([option, { path, sha256, version }]) => {
        // What was picked up while the run went on is known.
        const latest = edits.findLast(({ file, from }) => file === path && from === sha256);
        return [option, { path, sha256: latest?.sha256 ?? sha256, version }] as const;
      }),
  );
  const changed = plugins.filter(
    ([, { path, sha256, version }]) =>
      existsSync(path) && (hashOfPlugin(path) !== sha256 || isOtherVersion(version, installedVersion(path))),
  );
  if (changed.length > 0 && !acceptChanges) {
    refuseChanges(
      changed.map(([option, { path, version }]) => {
        const now = installedVersion(path);
        return isOtherVersion(version, now)
          ? `${option}: ${path} is version ${now}, and the run began with ${version}`
          : `${option}: ${path}, or a file it imports, has changed since the run began`;
      }),
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
