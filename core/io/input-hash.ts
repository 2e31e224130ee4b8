/** What tells whether a file or folder that a run reads is still the one it began with. */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ReasongenError } from '../errors.ts';
import { listCheckpoints } from './checkpoint.ts';
import { readManifest } from './checkpoint-manifest.ts';
import { diskError } from './disk.ts';

/** Bytes up to which a file is read whole; of a larger one its size and samples count, so that a start does not wait for terabytes. */
const wholeBytes = 64 * 2 ** 20;
const samples = 1024;
const sampleBytes = 4096;
/** Files of a folder beyond which only names and sizes count. */
const mostFiles = 1000;

/** sha256 of a file or of a folder with all that is in it. Of a run its newest checkpoint counts, of a checkpoint its model. */
export async function inputHash(path: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    if ((await stat(path)).isDirectory()) await addFolder(hash, path);
    else await addFile(hash, path);
  } catch (cause) {
    throw diskError(cause, 'reading what the run works from', path);
  }
  return hash.digest('hex');
}

async function addFolder(hash: Hash, folder: string): Promise<void> {
  const names = await readdir(folder);
  if (names.includes('manifest.json') && (await addModel(hash, folder))) return;
  if (names.includes('run.json') || names.includes('checkpoints')) {
    const newest = (await listCheckpoints(folder)).at(-1);
    if (newest !== undefined) await addModel(hash, newest.path);
    return;
  }
  const files = (await filesIn(folder, '')).sort();
  for (const name of files) {
    const path = join(folder, name);
    hash.update(`${name}\0`);
    if (files.length <= mostFiles) await addFile(hash, path);
    else hash.update(`${(await stat(path)).size}\0`);
  }
}

/**
 * Adds the model of a checkpoint, by the checksums in its manifest: neither the state nor the optimizer, which speak of the run that saved
 * it (the length of its metrics file differs from run to run). False when the folder is no checkpoint.
 */
async function addModel(hash: Hash, folder: string): Promise<boolean> {
  let files;
  try {
    ({ files } = await readManifest(folder));
  } catch (error) {
    if (error instanceof ReasongenError && error.code === 'BAD_CHECKPOINT') return false;
    throw error;
  }
  for (const name of Object.keys(files).sort())
    if (name !== 'state.json' && name !== 'optimizer.safetensors') hash.update(`${name} ${files[name]?.sha256}\n`);
  return true;
}

/** Paths of all files below, hidden ones left out. Links are followed: a hub's cache consists of them. */
async function filesIn(folder: string, inside: string): Promise<string[]> {
  const files: string[] = [];
  for (const name of await readdir(join(folder, inside))) {
    if (name.startsWith('.')) continue;
    const path = join(inside, name);
    if ((await stat(join(folder, path))).isDirectory()) files.push(...(await filesIn(folder, path)));
    else files.push(path);
  }
  return files;
}

async function addFile(hash: Hash, path: string): Promise<void> {
  const { size } = await stat(path);
  hash.update(`${size}\0`);
  if (size <= wholeBytes) {
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
    return;
  }
  const handle = await open(path);
  try {
    const block = Buffer.alloc(sampleBytes);
    for (let sample = 0; sample < samples; sample++) {
      const at = Math.floor((sample * (size - sampleBytes)) / (samples - 1));
      const { bytesRead } = await handle.read(block, 0, sampleBytes, at);
      hash.update(block.subarray(0, bytesRead));
    }
  } finally {
    await handle.close();
  }
}
