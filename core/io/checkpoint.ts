/**
 * Checkpoints: `<run>/checkpoints/step-000050/` holds weights.safetensors (or adapter_model.safetensors, where only adapters are
 * trained), optimizer.safetensors, state.json and a manifest.json with size and sha256 of each. A checkpoint is written under a temporary name, flushed, and renamed, so
 * at every moment each visible checkpoint is whole and the newest good one survives whatever happens.
 */
import { readFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { WeightSource } from '../contracts/weight-source.ts';
import { exitCodes, ReasongenError, shellWord } from '../errors.ts';
import { readBest, readEntries, removeOld, tidy, type CheckpointEntry, type KeepOptions } from './checkpoint-folder.ts';
import {
  checkpointName,
  damaged,
  encodeManifest,
  isWhole,
  remember,
  verifyCheckpoint,
  weightFiles,
  type KnownCheckpoints,
  type Manifest,
  readManifest,
} from './checkpoint-manifest.ts';
import { disk, diskError, replaceFile, syncDirectory, writeDurably, type Files } from './disk.ts';
import type { FileFingerprint } from './fingerprint.ts';
import { streamSafetensors } from './safetensors-stream.ts';
import { encodeSafetensors, type Metadata, type TensorToStore } from './safetensors.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export interface CheckpointContent {
  readonly weights?: ReadonlyMap<string, TensorToStore>;
  /** Optimizer moments and whatever else has the shape of the weights, by names of the caller's choice. */
  readonly optimizer?: ReadonlyMap<string, TensorToStore>;
  /** Instead or further: what is read piece by piece while it is written, by file name without `.safetensors`; may name a folder. */
  readonly sources?: ReadonlyMap<string, WeightSource>;
  /** Small files beside them, by name. */
  readonly texts?: ReadonlyMap<string, string>;
  /** Step, seeds, controllers, data position, metrics offset: everything else a resume needs. */
  readonly state: { readonly [key: string]: Json };
  /** Stored in the header of the weights. */
  readonly metadata?: Metadata;
}

export interface SaveOptions extends KeepOptions {
  /** Whether older checkpoints are removed at once, as by `pruneCheckpoints`; true unless told. */
  readonly prune?: boolean;
  /** The higher the better; a checkpoint that beats all before it becomes the best. */
  readonly score?: number;
  /** Kept by the caller from save to save, so that nothing is read again to see whether it is whole. */
  readonly known?: KnownCheckpoints;
  readonly files?: Files;
}

export interface Skipped {
  readonly path: string;
  readonly why: string;
}

/** Saves and returns the checkpoint's path. On failure nothing but the earlier checkpoints is left; exit code 6. */
export async function saveCheckpoint(
  runDirectory: string,
  step: number,
  content: CheckpointContent,
  options: SaveOptions = {},
): Promise<string> {
  const { prune = true, score, known = new Map<string, string>(), files = disk } = options;
  const state = stateText(content.state);
  const folder = join(runDirectory, 'checkpoints');
  const name = checkpointName(step);
  const path = join(folder, name);
  const temporary = join(folder, `.tmp-${name}-${process.pid}`);
  try {
    await files.mkdir(folder, { recursive: true });
    await tidy(folder, files);
    await files.mkdir(temporary);
    const written = await writeContent(temporary, step, content, state, files);
    await publish(folder, temporary, name, files);
    await remember(path, { files: written }, known);
  } catch (cause) {
    const leftover = await files.rm(temporary, { recursive: true, force: true }).then(
      () => '',
      (error: unknown) => `; ${temporary} could not be removed (${String(error)}): delete it`,
    );
    throw diskError(cause, `saving ${name}`, path, `${await wayBack(runDirectory)}${leftover}`);
  }
  try {
    if (score !== undefined && score > (await bestScore(folder, known))) {
      await replaceFile(join(folder, 'best.json'), `${JSON.stringify({ checkpoint: name, score })}\n`, files);
    }
    if (prune) await removeOld(folder, options, known, files);
  } catch (cause) {
    throw diskError(cause, `removing checkpoints older than ${name}, which itself is safe`, folder);
  }
  return path;
}

/** Removes the checkpoints that need not stay. */
export async function pruneCheckpoints(
  runDirectory: string,
  options: KeepOptions,
  known: KnownCheckpoints,
): Promise<void> {
  const folder = join(runDirectory, 'checkpoints');
  await removeOld(folder, options, known, disk).catch((cause: unknown) => {
    throw diskError(cause, 'removing old checkpoints', folder);
  });
}

/** That of a best checkpoint which is gone or damaged is beaten by any other. */
async function bestScore(folder: string, known: KnownCheckpoints): Promise<number> {
  const best = await readBest(folder);
  const entry = (await readEntries(folder)).find(({ name }) => name === best?.checkpoint);
  const isThere = entry !== undefined && (await isWhole(entry.path, known));
  return best === undefined || !isThere ? Number.NEGATIVE_INFINITY : best.score;
}

/** Whole checkpoints of a run by their names, oldest first. Their content is not looked at. */
export async function listCheckpoints(runDirectory: string): Promise<CheckpointEntry[]> {
  return readEntries(join(runDirectory, 'checkpoints'));
}

/** How many steps a run has saved, by the newest checkpoint whose manifest vouches for its name; undefined where there is none. */
export async function savedSteps(runDirectory: string): Promise<number | undefined> {
  return (await newestThatPasses(readManifest, runDirectory)).newest?.manifest.step;
}

/** A verified checkpoint whose tensors are left to be read piece by piece. */
export interface OpenCheckpoint {
  readonly path: string;
  readonly step: number;
  readonly state: CheckpointContent['state'];
  /** sha256 of the file of weights or adapters. */
  readonly hash: string;
  /** Names of the files it holds. */
  readonly files: readonly string[];
}

/** The newest checkpoint of a run that verifies, and the damaged ones passed over on the way to it. */
export async function openNewest(runDirectory: string): Promise<OpenCheckpoint & { readonly skipped: Skipped[] }> {
  const { path, manifest, skipped } = await newestGood(runDirectory);
  const { step, files } = manifest;
  return { path, step, state: await readState(path), hash: hashOf(files), files: Object.keys(files), skipped };
}

/** What a run noted in a checkpoint beside its tensors. Throws BAD_CHECKPOINT. */
export async function readState(path: string): Promise<CheckpointContent['state']> {
  const text = await readFile(join(path, 'state.json'), 'utf8').catch((cause: unknown) => {
    throw diskError(cause, 'reading state.json', path);
  });
  try {
    return JSON.parse(text) as CheckpointContent['state'];
  } catch (cause) {
    throw damaged(path, 'state.json is not JSON', cause);
  }
}

function hashOf(files: Manifest['files']): string {
  return weightFiles.map((stem) => files[`${stem}.safetensors`]?.sha256).find((hash) => hash !== undefined) ?? '';
}

/** The newest checkpoint that verifies, and the damaged ones passed over on the way to it. */
export async function newestGood(
  runDirectory: string,
): Promise<{ path: string; step: number; manifest: Manifest; skipped: Skipped[] }> {
  const { newest, skipped } = await newestThatPasses(verifyCheckpoint, runDirectory);
  if (newest !== undefined) return { ...newest, step: newest.manifest.step, skipped };
  const damage = skipped.map((each) => `${each.path}: ${each.why}`).join('; ');
  throw new ReasongenError({
    code: 'NO_CHECKPOINT',
    message: skipped.length === 0 ? 'there is no checkpoint' : `no checkpoint is whole (${damage})`,
    place: join(runDirectory, 'checkpoints'),
    hint: 'start the run anew',
    exitCode: exitCodes.disk,
  });
}

/** The newest checkpoint in which `check` finds no damage, and those passed over on the way to it. */
async function newestThatPasses(
  check: (path: string) => Promise<Manifest>,
  runDirectory: string,
): Promise<{ readonly newest?: { readonly path: string; readonly manifest: Manifest }; readonly skipped: Skipped[] }> {
  const skipped: Skipped[] = [];
  for (const { path } of (await listCheckpoints(runDirectory)).reverse()) {
    try {
      return { newest: { path, manifest: await check(path) }, skipped };
    } catch (error) {
      // Any other error says nothing about the checkpoint: to go on from an older one would lose steps for no reason.
      if (!(error instanceof ReasongenError && error.code === 'BAD_CHECKPOINT')) throw error;
      skipped.push({ path, why: error.message });
    }
  }
  return { skipped };
}

/** A fall back to an older checkpoint in words, a line for each one that is passed over. */
export function sayPassedOver(skipped: readonly Skipped[], used: string): string[] {
  return skipped.map(({ path, why }) => `checkpoint ${path} is passed over: ${why}; ${basename(used)} is used instead`);
}

async function writeContent(
  path: string,
  step: number,
  content: CheckpointContent,
  state: string,
  files: Files,
): Promise<Manifest['files']> {
  const written: Record<string, FileFingerprint> = {};
  const folders = new Set<string>();
  const write = async (name: string, chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void> => {
    const folder = dirname(join(path, name));
    if (folder !== path && !folders.has(folder)) await files.mkdir(folder);
    folders.add(folder);
    written[name] = await writeDurably(join(path, name), chunks, files);
  };
  for (const stem of ['weights', 'optimizer'] as const) {
    const tensors = content[stem];
    if (tensors !== undefined)
      await write(`${stem}.safetensors`, encodeSafetensors(tensors, stem === 'weights' ? content.metadata : {}, stem));
  }
  for (const [stem, source] of content.sources ?? []) {
    await write(`${stem}.safetensors`, streamSafetensors(source, weightFiles.includes(stem) ? content.metadata : {}));
  }
  for (const [name, text] of content.texts ?? []) await write(name, [new TextEncoder().encode(text)]);
  await write('state.json', [new TextEncoder().encode(state)]);
  await writeDurably(join(path, 'manifest.json'), [new TextEncoder().encode(encodeManifest(step, written))], files);
  for (const folder of new Set([...folders, path])) await syncDirectory(folder, files);
  return written;
}

/** Gives the finished checkpoint its name. One of the same step steps aside first and is deleted last. */
async function publish(folder: string, temporary: string, name: string, files: Files): Promise<void> {
  const replaced = join(folder, `.replaced-${name}`);
  const names = await files.readdir(folder);
  if (names.includes(name)) await files.rename(join(folder, name), replaced);
  try {
    await files.rename(temporary, join(folder, name));
  } catch (cause) {
    if (names.includes(name)) await files.rename(replaced, join(folder, name));
    throw cause;
  }
  await syncDirectory(folder, files);
  await files.rm(replaced, { recursive: true, force: true });
}

/** What a user can go back to when saving failed. */
async function wayBack(runDirectory: string): Promise<string> {
  const last = await newestGood(runDirectory).catch(() => undefined);
  if (last === undefined) return 'no checkpoint had been saved before, so the run has to start anew';
  return `the last good checkpoint is ${resolve(last.path)}; then go on with: npx reasongen resume ${shellWord(runDirectory)}`;
}

/** JSON would turn NaN into null and drop undefined: a resume from that would be silently wrong. */
function stateText(state: CheckpointContent['state']): string {
  const text = JSON.stringify(
    state,
    (key, value: unknown) => {
      const isLost =
        typeof value === 'number' ? !Number.isFinite(value) : !['string', 'boolean', 'object'].includes(typeof value);
      if (isLost) throw new TypeError(`saveCheckpoint: state.${key} = ${String(value)} cannot be stored as JSON.`);
      return value;
    },
    2,
  );
  return `${text}\n`;
}
