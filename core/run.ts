/** Where runs and the stages of a chain lie, and how they are opened. One run is described in `io/records.ts`. */
import { existsSync, readdirSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import type { RunComponents } from './contracts/recipe.ts';
import { exitCodes, ReasongenError, shellWord } from './errors.ts';
import type { Device } from './gpu/device.ts';
import { diskError, replaceFile } from './io/disk.ts';
import { describeProgram } from './io/software.ts';
import { readRunRecord } from './io/records.ts';
import { createRun, hasOnlyBegun, openRun, presetFile, type RunDirectory } from './io/run-directory.ts';
import type { LoadedPreset, Stage } from './preset/load.ts';
import { withChecksum } from './preset/checksum.ts';
import { copiesOfPlugins } from './preset/plugin-files.ts';
import { repeatablePreset } from './preset/read-back.ts';
import { showChain, showPreset } from './preset/show.ts';
import { mkdir } from './io/files.ts';
import { copyPlugins, type RecordedInputs } from './run-inputs.ts';

/** `runs/NAME`, or `runs/NAME-2`, … when that exists already. */
export function freeRunDirectory(name: string): string {
  for (let count = 1; ; count++) {
    const directory = resolve('runs', count === 1 ? name : `${name}-${count}`);
    if (!existsSync(directory)) return directory;
  }
}

/** Throws when a new run cannot go there. One that was killed before it had begun is made again, if it is the same (`createRun`). */
export function refuseExistingRun(directory: string): void {
  if (!existsSync(join(directory, presetFile)) || hasOnlyBegun(readdirSync(directory))) return;
  throw new ReasongenError({
    code: 'RUN_EXISTS',
    message: 'this directory holds a run already',
    place: directory,
    hint: `go on with it: npx reasongen resume ${shellWord(directory)}; or choose another --run-dir`,
    exitCode: exitCodes.badPreset,
  });
}

/** The preset file of a run to be resumed. */
export function presetOfRun(directory: string): string {
  const file = join(directory, presetFile);
  if (existsSync(file)) return file;
  throw new ReasongenError({
    code: 'NOT_A_RUN',
    message: `this is not the directory of a run: it has no ${presetFile}`,
    place: directory,
    hint: 'name a directory that `reasongen run` has made, such as runs/NAME',
    exitCode: exitCodes.badPreset,
  });
}

/** The directory of a stage: its own in a chain, the run directory itself otherwise. */
export function stageDirectory(loaded: LoadedPreset, stage: Stage, runDirectory: string): string {
  return loaded.isChain ? join(runDirectory, stage.name) : runDirectory;
}

/** Makes the directory of a chain, so that a resume finds its stages, those that have not begun as well: `preset.yaml` and `STAGE/preset.yaml`. */
export async function writeChain(
  loaded: LoadedPreset,
  runDirectory: string,
  texts: readonly string[],
  copies: PluginCopies,
): Promise<void> {
  await mkdir(runDirectory, { recursive: true }).catch((cause: unknown) => {
    throw diskError(cause, 'creating the run', runDirectory, 'or choose another --run-dir');
  });
  await copyPlugins(copies, runDirectory);
  for (const [index, stage] of loaded.stages.entries())
    await writeStage(stageDirectory(loaded, stage, runDirectory), texts[index] ?? '');
  const stages = loaded.stages.map(({ name }) => ({ name, preset: `./${name}/${presetFile}` }));
  await replaceFile(join(runDirectory, presetFile), withChecksum(showChain(loaded.name, stages))).catch(
    (cause: unknown) => {
      throw diskError(cause, 'creating the run', runDirectory);
    },
  );
}

/** Makes the directory of a stage that has not begun. */
export async function writeStage(directory: string, text: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true });
    await replaceFile(join(directory, presetFile), text);
  } catch (cause) {
    throw diskError(cause, 'creating the run', directory, 'or choose another --run-dir');
  }
}

/** Whether the run of a directory has been started; a stage of a chain may not have been. */
export function isStarted(directory: string): boolean {
  return existsSync(join(directory, 'run.json'));
}

/** Whether the run of a directory ended by itself. */
export async function isDone(directory: string): Promise<boolean> {
  if (!isStarted(directory)) return false;
  const { sessions } = await readRunRecord(directory);
  return sessions.at(-1)?.outcome === 'done';
}

/** The text of `preset.yaml` of a stage. Throws NOT_REPEATABLE when it would not give the stage again. */
export function resolvedPreset(
  stage: Stage,
  loaded: LoadedPreset,
  runDirectory: string,
  copies: PluginCopies = new Map(),
): string {
  const earlier = loaded.stages
    .slice(0, loaded.stages.indexOf(stage))
    .map((each) => [each.name, stageDirectory(loaded, each, runDirectory)] as const);
  return repeatablePreset(stage, loaded.catalog, stageDirectory(loaded, stage, runDirectory), new Map(earlier), copies);
}

/** The resolved preset of a stage with where each value came from; paths as they are seen from where the command was typed. */
export function presetWithOrigins(stage: Stage, loaded: LoadedPreset): string {
  return showPreset(stage, loaded.catalog, { directory: process.cwd(), origins: true });
}

/** Copies of plugins in the directory of a run, by the files they are made from. */
export type PluginCopies = ReadonlyMap<string, string>;

/** The copies a new run keeps of its plugins; its stages share them. */
export function pluginCopies(loaded: LoadedPreset, runDirectory: string): PluginCopies {
  return copiesOfPlugins(
    loaded.stages.flatMap(({ preset }) => preset.plugins),
    runDirectory,
  );
}

/** What the directory of a run begins with. */
export interface RunParts {
  readonly text: string;
  /** The text with the origins of its values. */
  readonly origins: string;
  readonly inputs: RecordedInputs;
  /** Empty in a stage of a chain, which has them for all. */
  readonly copies: PluginCopies;
}

/** Makes the directory of one run, with what is known when it starts. */
export function createRunDirectory(
  stage: Stage,
  directory: string,
  { text, origins, inputs, copies }: RunParts,
  components: RunComponents,
  device: Device | undefined,
  command: readonly string[],
): Promise<RunDirectory> {
  const { preset } = stage;
  return createRun({
    directory,
    name: preset.name,
    preset: text,
    origins,
    fill: (path) => copyPlugins(copies, path),
    command,
    description: {
      ...describeProgram(),
      preset: relative(process.cwd(), preset.file),
      adapter: device === undefined ? {} : describeAdapter(device),
      seeds: { run: preset.seed },
      inputs,
      hashes: {
        ...(components.has('tokenizer') && { tokenizer: components.tokenizer.hash }),
        ...(components.has('imageTokenizer') && { imageTokenizer: components.imageTokenizer.hash }),
      },
    },
  });
}

/** The adapter as a run's record tells of it. */
export function describeAdapter({ adapter }: Device): Record<string, string> {
  const { description, vendor, isSoftware, features } = adapter;
  return { description, vendor, kind: isSoftware ? 'software' : 'hardware', features: features.join(' ') };
}

export { openRun as openRunDirectory };
