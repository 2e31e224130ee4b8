/** Runs name what they read by paths relative to themselves. One that was moved alone finds it where its record says it was. */
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Origin } from '../contracts/preset.ts';

/** Where a path that a run's `preset.yaml` names led to when the run began; undefined elsewhere, and where nothing is there any more. */
export function placeBeforeMove(written: string, origin: Origin): string | undefined {
  if (origin.kind !== 'file' || basename(origin.source) !== 'preset.yaml') return undefined;
  const inside = `/${written.replace(/^(\.\.?\/)+/, '')}`;
  return recordedPaths(join(dirname(origin.source), 'run.json')).find(
    (path) => path.endsWith(inside) && existsSync(path),
  );
}

function recordedPaths(file: string): string[] {
  if (!existsSync(file)) return [];
  try {
    const { inputs = {} } = JSON.parse(readFileSync(file, 'utf8')) as { inputs?: Record<string, { path?: unknown }> };
    return Object.values(inputs).flatMap(({ path }) => (typeof path === 'string' ? [path] : []));
  } catch (cause) {
    // A broken record is named by whoever needs it.
    if (cause instanceof SyntaxError) return [];
    throw cause;
  }
}
