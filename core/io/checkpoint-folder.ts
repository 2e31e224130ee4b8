/** What lies in a run's `checkpoints/` directory, and which leftovers of killed processes may go. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
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

/** Oldest first. A checkpoint that was being replaced when the process died still counts, under its old content. */
export async function readEntries(folder: string): Promise<CheckpointEntry[]> {
  const names = await readdir(folder).catch((cause: unknown) => {
    if (hasCode(cause, 'ENOENT')) return [];
    throw diskError(cause, 'listing checkpoints', folder);
  });
  const entries = new Map<string, CheckpointEntry>();
  for (const found of names.sort().reverse()) {
    const match = /^(\.replaced-)?(step-(\d{6,}))$/.exec(found);
    const [, replaced, name, digits] = match ?? [];
    if (name === undefined || (replaced !== undefined && entries.has(name))) continue;
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
