/** Finds and opens the weights of a model: a file, a folder of files, or one of our own checkpoints. */
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { WeightSource } from '../../contracts/weight-source.ts';
import { trainedRun } from '../chain.ts';
import { listCheckpoints, newestGood, sayPassedOver } from '../checkpoint.ts';
import { verifyCheckpoint, type Manifest } from '../checkpoint-manifest.ts';
import { diskError } from '../disk.ts';
import { badWeights } from './errors.ts';
import { openSafetensors } from './safetensors-source.ts';
import { openShards } from './shards.ts';
import { openTorch } from './torch-source.ts';

/**
 * In this order of preference: a format that cannot hold code comes first, and one file before an index, as transformers looks: a model
 * that is saved again as one file leaves the index of its former shards behind.
 */
const fileNames = [
  'model.safetensors',
  'model.safetensors.index.json',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
];

/** Files that may hold weights, whatever else they are called. */
const weightFile = /\.(safetensors|bin|pt|pth|ckpt)$/;

/** Where the weights that a path stands for lie. */
export interface WeightPlace {
  /** A file of weights, an index of several, or a folder of low-rank adapters. */
  readonly path: string;
  readonly isAdapter: boolean;
  /** sha256 of the file, where a checkpoint of ours has noted it. */
  readonly hash?: string;
  /** What the user must be told: newer checkpoints of the run that are damaged and were passed over. */
  readonly warnings?: readonly string[];
}

/**
 * Opens a safetensors or PyTorch file, an index of several, the folder of a published model, a checkpoint of ours, or a run (its
 * newest good checkpoint; of a chain that of its last stage). Reads headers only. Errors name file, tensor and what to do.
 */
export async function openWeightSource(path: string): Promise<WeightSource> {
  const { path: file, isAdapter } = await findWeights(path);
  if (isAdapter)
    throw badWeights(
      file,
      'these are low-rank adapters, not the weights of a model',
      'name the weights they were trained on, or export both together',
    );
  return openFile(file);
}

/** A file or an index of several, as `findWeights` gives it. */
export function openFile(file: string): Promise<WeightSource> {
  return file.endsWith('.index.json') ? openShards(file, openOneFile) : openOneFile(file);
}

/** `verify`: false takes checkpoints as they are, without reading them whole: for a look at their headers. */
export async function findWeights(path: string, { verify = true } = {}): Promise<WeightPlace> {
  const status = await stat(path).catch((cause: unknown) => {
    throw diskError(cause, 'looking for weights', path);
  });
  if (!status.isDirectory()) return { path, isAdapter: false };
  const names = await readdir(path).catch((cause: unknown) => {
    throw diskError(cause, 'looking for weights', path);
  });
  if (names.includes('manifest.json'))
    return verify ? inCheckpoint(path, await verifyCheckpoint(path)) : unverified(path, names);
  const run = names.includes('checkpoints') ? path : names.includes('preset.yaml') && (await trainedRun(path));
  if (run) {
    const last = verify ? undefined : (await listCheckpoints(run)).at(-1)?.path;
    if (last !== undefined) return unverified(last, await readdir(last));
    const newest = await newestGood(run);
    return { ...inCheckpoint(newest.path, newest.manifest), warnings: sayPassedOver(newest.skipped, newest.path) };
  }
  if (names.includes('adapter_config.json')) return { path, isAdapter: true };
  return { path: join(path, usualFile(path, names)), isAdapter: false };
}

function inCheckpoint(path: string, { files }: Manifest): WeightPlace {
  const weights = files['weights.safetensors'];
  return weights === undefined
    ? { path, isAdapter: true }
    : { path: join(path, 'weights.safetensors'), isAdapter: false, hash: weights.sha256 };
}

function unverified(path: string, names: readonly string[]): WeightPlace {
  const isAdapter = !names.includes('weights.safetensors');
  return { path: isAdapter ? path : join(path, 'weights.safetensors'), isAdapter };
}

/** Whether a folder is that of a published model of which no weights were fetched: its configuration is enough for a plan. */
export async function lacksWeights(path: string): Promise<boolean> {
  if (!(await stat(path)).isDirectory()) return false;
  const names = await readdir(path);
  const isModel = (name: string): boolean =>
    weightFile.test(name) || name.endsWith('.index.json') || name === 'adapter_config.json';
  return names.includes('config.json') && !names.some(isModel);
}

function usualFile(folder: string, names: readonly string[]): string {
  const usual = fileNames.find((name) => names.includes(name));
  if (usual !== undefined) return usual;
  const others = names.filter((name) => weightFile.test(name));
  const [only] = others;
  if (only !== undefined && others.length === 1) return only;
  const isPulled = /models--[^/]+\/snapshots\/[^/]+\/?$/.test(folder);
  const hint =
    isPulled && only === undefined
      ? 'this folder of the cache was pulled in part, or has weights of another format: `reasongen pull` tells which'
      : 'point to one of the files, or to a folder with model.safetensors or pytorch_model.bin or an index of several';
  throw badWeights(
    folder,
    only === undefined
      ? 'there are no weights in this folder'
      : `it is not clear which file holds the model: ${others.toSorted().join(', ')}`,
    hint,
  );
}

/** The first bytes decide, not the name. */
async function openOneFile(path: string): Promise<WeightSource> {
  const start = await firstBytes(path);
  if (start.startsWith('504b0304') || start.startsWith('504b0506')) return openTorch(path);
  // A pickle of a long number that PyTorch began its files with before version 1.6.
  if (start.startsWith('80028a0a6cfc9c46f9206aa8')) {
    throw badWeights(
      path,
      'this is a PyTorch file in the format from before version 1.6',
      'load and save it once with a newer PyTorch, or use the safetensors file of the model',
    );
  }
  return openSafetensors(path);
}

async function firstBytes(path: string): Promise<string> {
  const handle = await open(path, 'r').catch((cause: unknown) => {
    throw diskError(cause, 'opening a file of weights', path);
  });
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(16), 0, 16, 0);
    return buffer.subarray(0, bytesRead).toString('hex');
  } catch (cause) {
    throw diskError(cause, 'reading weights', path);
  } finally {
    await handle.close();
  }
}
