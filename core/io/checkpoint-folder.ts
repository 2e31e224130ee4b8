/** What lies in a run's `checkpoints/` directory, and which leftovers of killed processes may go. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkpointName, isWhole, type KnownCheckpoints } from './checkpoint-manifest.ts';
import { diskError, hasCode, type Files } from './disk.ts';

export interface CheckpointEntry {
  readonly name: string;
  readonly path: string;
  readonly step: number;
}

export interface BestCheckpoint {
  readonly checkpoint: string;
  readonly score: number;
}

/** Which checkpoints stay. The best one is kept besides. */
export interface KeepOptions {
  /** How many of the newest whole ones, at least 1; 3 unless told. */
  readonly keep?: number;
  /** Steps that are multiples of this stay for good. */
  readonly keepEvery?: number | undefined;
}

/** Oldest first. A checkpoint that was being replaced when the process died still counts, under its old content. */
export async function readEntries(folder: string): Promise<CheckpointEntry[]> {
  const names = await readdir(folder).catch((cause: unknown) => {
    if (hasCode(cause, 'ENOENT')) return [];
    throw diskError(cause, 'listing checkpoints', folder);
  });
  const entries = new Map<string, CheckpointEntry>();
  for (const found of names.toSorted((a, b) => (a < b ? 1 : -1))) {
    const match = /^(\.replaced-)?(step-(\d{6,}))$/.exec(found);
    const [, replaced, name, digits] = match ?? [];
    if (name !== checkpointName(Number(digits)) || (replaced !== undefined && entries.has(name))) continue;
    entries.set(name, { name, path: join(folder, found), step: Number(digits) });
  }
  return [...entries.values()].sort((a, b) => a.step - b.step);
}

/** Removes what a killed process left behind. Only the one process that holds the run's lock may call it. */
export async function tidy(folder: string, files: Files): Promise<void> {
  const names = await files.readdir(folder);
  for (const name of names) {
    const target = name.startsWith('.replaced-') ? name.slice('.replaced-'.length) : undefined;
    if (target !== undefined && !names.includes(target)) await files.rename(join(folder, name), join(folder, target));
    else if (target !== undefined || name.startsWith('.tmp-')) {
      await files.rm(join(folder, name), { recursive: true, force: true });
    }
  }
}

/**
 * Removes what need not stay. A damaged checkpoint counts for nothing: it neither takes the place of a whole one nor shields
 * itself by being the best, and goes when enough whole ones are newer.
 */
export async function removeOld(
  folder: string,
  { keep = 3, keepEvery }: KeepOptions,
  known: KnownCheckpoints,
  files: Files,
): Promise<void> {
  const entries = await readEntries(folder);
  if (entries.length <= Math.max(1, keep)) return;
  const best = (await readBest(folder))?.checkpoint;
  const old: CheckpointEntry[] = [];
  let kept = 0;
  for (const entry of entries.toReversed()) {
    if (kept < Math.max(1, keep)) kept += Number(await isWhole(entry.path, known));
    else if (entry.name !== best || !(await isWhole(entry.path, known))) old.push(entry);
  }
  for (const { name, path, step } of old.toReversed()) {
    if (keepEvery !== undefined && step % keepEvery === 0) continue;
    // Renamed first: an interrupted deletion must not look like a damaged checkpoint.
    const doomed = join(folder, `.tmp-delete-${name}`);
    await files.rename(path, doomed);
    await files.rm(doomed, { recursive: true, force: true });
    known.delete(path);
  }
}

/** A best.json that cannot be read means that no best is known; the next scored checkpoint writes it anew. */
export async function readBest(folder: string): Promise<BestCheckpoint | undefined> {
  try {
    const best = JSON.parse(await readFile(join(folder, 'best.json'), 'utf8')) as Partial<BestCheckpoint> | null;
    if (typeof best?.checkpoint !== 'string' || typeof best.score !== 'number') return undefined;
    return { checkpoint: best.checkpoint, score: best.score };
  } catch (cause) {
    if (cause instanceof SyntaxError || hasCode(cause, 'ENOENT')) return undefined;
    throw diskError(cause, 'reading best.json', folder);
  }
}
