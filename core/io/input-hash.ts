/** What tells whether a file or folder that a run reads is still the one it began with. */
import { createHash, type Hash } from 'node:crypto';
import { open, readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ReasongenError } from '../errors.ts';
import { listCheckpoints } from './checkpoint.ts';
import { readManifest } from './checkpoint-manifest.ts';
import { diskError } from './disk.ts';
import { namedFiles, type TextsOfFile } from './named-files.ts';
import { piecesOf } from './pieces.ts';

/** Bytes that are read whole, of all files together; of more, sizes and samples count, so that a start does not wait for terabytes. */
const wholeBytes = 512 * 2 ** 20;
/** Files that are read whole. */
const wholeFiles = 10_000;
/** Blocks read of files that are not read whole, of each and of all together; of each its first and its last at least. */
const samples = 1024;
const samplesInAll = 2 ** 16;
const sampleBytes = 4096;
/** Read together of a file that is read whole. */
const pieceBytes = 2 ** 18;

/** A file that counts, under the name by which it is known. */
interface CountedFile {
  readonly name: string;
  readonly path: string;
  readonly size: number;
}

/**
 * sha256 of a file or of a folder with all that is in it, and of the files that its rows name: pictures beside captions. Of a run its newest
 * checkpoint counts, of a checkpoint its model.
 */
export async function inputHash(path: string, textsOf?: TextsOfFile): Promise<string> {
  const hash = createHash('sha256');
  try {
    const status = await stat(path);
    if (status.isDirectory()) await addFolder(hash, path, textsOf);
    else await addFiles(hash, [{ name: '', path, size: status.size }], textsOf);
  } catch (cause) {
    throw diskError(cause, 'reading what the run works from', path);
  }
  return hash.digest('hex');
}

async function addFolder(hash: Hash, folder: string, textsOf: TextsOfFile | undefined): Promise<void> {
  const names = await readdir(folder);
  if (names.includes('manifest.json') && (await addModel(hash, folder))) return;
  if (names.includes('run.json') || names.includes('checkpoints')) {
    // The newest that can be told, as whoever loads it does.
    for (const { path } of (await listCheckpoints(folder)).reverse()) if (await addModel(hash, path)) return;
    return;
  }
  const files = await filesIn(folder, '');
  await addFiles(
    hash,
    files.sort((one, other) => (one.name < other.name ? -1 : 1)),
    textsOf,
  );
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

/** All files below, hidden ones left out. Links are followed: a hub's cache consists of them. */
async function filesIn(folder: string, inside: string, above: readonly string[] = []): Promise<CountedFile[]> {
  const files: CountedFile[] = [];
  const real = await realpath(join(folder, inside));
  // A link to a folder above would lead round and round.
  if (above.includes(real)) return files;
  for (const name of await readdir(join(folder, inside))) {
    if (name.startsWith('.')) continue;
    const path = join(folder, inside, name);
    const status = await stat(path).catch(() => undefined);
    if (status?.isDirectory() === true) files.push(...(await filesIn(folder, join(inside, name), [...above, real])));
    // Nothing comes from a link to nowhere, and a pipe or a device has no content.
    else if (status?.isFile() === true) files.push({ name: join(inside, name), path, size: status.size });
  }
  return files;
}

/** Adds files and what their rows name, each once. */
async function addFiles(hash: Hash, files: readonly CountedFile[], textsOf: TextsOfFile | undefined): Promise<void> {
  const counted = new Map(files.map((file) => [file.path, file]));
  for (const { path } of files)
    for (const named of await namedFiles(path, textsOf)) if (!counted.has(named.path)) counted.set(named.path, named);
  const all = [...counted.values()];
  const isWhole = all.length <= wholeFiles && all.reduce((sum, { size }) => sum + size, 0) <= wholeBytes;
  const blocks = Math.max(2, Math.min(samples, Math.floor(samplesInAll / all.length)));
  for (const file of all) {
    hash.update(`${file.name}\0${file.size}\0`);
    if (isWhole || file.size <= blocks * sampleBytes) await addWhole(hash, file);
    else await addSamples(hash, file, blocks);
  }
}

async function addWhole(hash: Hash, { path }: CountedFile): Promise<void> {
  for await (const piece of piecesOf(path, pieceBytes)) hash.update(piece);
}

async function addSamples(hash: Hash, { path, size }: CountedFile, blocks: number): Promise<void> {
  const handle = await open(path);
  try {
    const block = Buffer.alloc(sampleBytes);
    for (let sample = 0; sample < blocks; sample++) {
      const at = Math.floor((sample * (size - sampleBytes)) / (blocks - 1));
      const { bytesRead } = await handle.read(block, 0, sampleBytes, at);
      hash.update(block.subarray(0, bytesRead));
    }
  } finally {
    await handle.close();
  }
}
