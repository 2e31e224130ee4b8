/** Finds and opens the weights of a model: a file, a folder of files, or one of our own checkpoints. */
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { WeightSource } from '../../contracts/weight-source.ts';
import { newestGood, verifyCheckpoint } from '../checkpoint.ts';
import { diskError } from '../disk.ts';
import { badWeights } from './errors.ts';
import { openSafetensors } from './safetensors-source.ts';
import { openShards } from './shards.ts';
import { openTorch } from './torch-source.ts';

/** In this order of preference: a format that cannot hold code comes first. */
const fileNames = ['model.safetensors.index.json', 'model.safetensors', 'pytorch_model.bin.index.json', 'pytorch_model.bin'];

/**
 * Opens a safetensors or PyTorch file, an index of several, the folder of a published model, a checkpoint of ours, or a run (its
 * newest good checkpoint). Reads headers only. Errors name file, tensor and what to do.
 */
export async function openWeightSource(path: string): Promise<WeightSource> {
  const file = await findWeights(path);
  return file.endsWith('.index.json') ? openShards(file, openOneFile) : openOneFile(file);
}

/** The file that `openWeightSource` would open: the path itself, or what it stands for. */
export async function findWeights(path: string): Promise<string> {
  const status = await stat(path).catch((cause: unknown) => {
    throw diskError(cause, 'looking for weights', path);
  });
  if (!status.isDirectory()) return path;
  const names = await readdir(path).catch((cause: unknown) => {
    throw diskError(cause, 'looking for weights', path);
  });
  if (names.includes('manifest.json')) {
    await verifyCheckpoint(path);
    return join(path, 'weights.safetensors');
  }
  if (names.includes('checkpoints')) return join((await newestGood(path)).path, 'weights.safetensors');
  const usual = fileNames.find((name) => names.includes(name));
  if (usual !== undefined) return join(path, usual);
  const others = names.filter((name) => /\.(safetensors|bin|pt|pth|ckpt)$/.test(name));
  const [only] = others;
  if (only !== undefined && others.length === 1) return join(path, only);
  const cure = 'point to one of the files, or to a folder with model.safetensors or pytorch_model.bin or an index of several';
  throw badWeights(path, only === undefined ? 'there are no weights in this folder' : `it is not clear which file holds the model: ${others.sort().join(', ')}`, cure);
}

/** The first bytes decide, not the name. */
async function openOneFile(path: string): Promise<WeightSource> {
  const start = await firstBytes(path);
  if (start.startsWith('504b0304') || start.startsWith('504b0506')) return openTorch(path);
  // A pickle of a long number that PyTorch began its files with before version 1.6.
  if (start.startsWith('80028a0a6cfc9c46f9206aa8')) {
    throw badWeights(path, 'this is a PyTorch file in the format from before version 1.6', 'load and save it once with a newer PyTorch, or use the safetensors file of the model');
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
