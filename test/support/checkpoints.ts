/** Whole checkpoints in memory, for tests that look into them: the program reads theirs piece by piece. */
import { join } from 'node:path';
import { listCheckpoints, readState } from '../../core/io/checkpoint.ts';
import { type CheckpointEntry, readBest } from '../../core/io/checkpoint-folder.ts';
import { verifyCheckpoint } from '../../core/io/checkpoint-manifest.ts';
import { readSafetensors, type StoredTensor } from './safetensors.ts';

export interface Checkpoint {
  readonly path: string;
  readonly step: number;
  /** Empty when only adapters were saved. */
  readonly weights: Map<string, StoredTensor>;
  /** Empty when none was saved. */
  readonly optimizer: Map<string, StoredTensor>;
  readonly state: Awaited<ReturnType<typeof readState>>;
}

/** Verifies it first. */
export async function loadCheckpoint(path: string): Promise<Checkpoint> {
  const { step, files } = await verifyCheckpoint(path);
  const tensorsOf = async (name: string): Promise<Checkpoint['weights']> =>
    name in files ? readSafetensors(join(path, name)) : new Map<string, StoredTensor>();
  const [weights, optimizer] = [await tensorsOf('weights.safetensors'), await tensorsOf('optimizer.safetensors')];
  return { path, step, weights, optimizer, state: await readState(path) };
}

/** The one with the best score so far, if any was scored. */
export async function bestCheckpoint(runDirectory: string): Promise<CheckpointEntry | undefined> {
  const best = await readBest(join(runDirectory, 'checkpoints'));
  return (await listCheckpoints(runDirectory)).find(({ name }) => name === best?.checkpoint);
}
