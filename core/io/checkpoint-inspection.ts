/** What is in a checkpoint and whether each file is as it was saved: for people, where `verifyCheckpoint` stops at the first damage. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { runsIn } from './chain.ts';
import { listCheckpoints } from './checkpoint.ts';
import { damageOf, readManifest } from './checkpoint-manifest.ts';
import { ReasongenError } from '../errors.ts';

export interface InspectedFile {
  readonly name: string;
  readonly bytes: number;
  /** Absent when the file is as it was saved. */
  readonly damage?: string;
}

export interface InspectedCheckpoint {
  readonly path: string;
  /** Absent when the manifest itself cannot be read. */
  readonly step?: number;
  readonly files: readonly InspectedFile[];
  /** What is wrong with the checkpoint as a whole. */
  readonly damage?: string;
}

/** One checkpoint, or all those of a run, or of the stages of a chain, oldest first. Empty when a run has none. */
export async function inspectCheckpoints(path: string): Promise<InspectedCheckpoint[]> {
  if (await exists(join(path, 'manifest.json'))) return [await inspect(path)];
  const runs = await runsIn(path);
  const inspected: InspectedCheckpoint[] = [];
  for (const run of runs.length > 0 ? runs : [path])
    for (const entry of await listCheckpoints(run)) inspected.push(await inspect(entry.path));
  // A folder that is neither is named with its damage.
  if (inspected.length === 0 && runs.length === 0) return [await inspect(path)];
  return inspected;
}

async function inspect(path: string): Promise<InspectedCheckpoint> {
  try {
    const { step, files } = await readManifest(path);
    const inspected: InspectedFile[] = [];
    for (const [name, expected] of Object.entries(files)) {
      const damage = await damageOf(path, name, expected);
      inspected.push({ name, bytes: expected.bytes, ...(damage !== undefined && { damage }) });
    }
    const damaged = inspected.filter(({ damage }) => damage !== undefined).map(({ name }) => name);
    return { path, step, files: inspected, ...(damaged.length > 0 && { damage: `damaged: ${damaged.join(', ')}` }) };
  } catch (error) {
    if (!(error instanceof ReasongenError)) throw error;
    return { path, files: [], damage: error.message };
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
