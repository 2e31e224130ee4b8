/** The folder of a model as other programs load it: configuration, tokenizer, and safetensors, in several files when large. */
import { readdir, readFile, statfs } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { WeightSource } from '../contracts/weight-source.ts';
import { exitCodes, ReasongenError } from '../errors.ts';
import { disk, diskError, hasCode, replaceFile, syncDirectory, writeDurably } from './disk.ts';
import { takeLock } from './lock.ts';
import { streamSafetensors } from './safetensors-stream.ts';
import { bytesOf } from './weight-files/element-types.ts';
import { filtered } from './weight-files/pieces.ts';
import { copyFile, mkdir, open, rename, rm, rmdir } from './files.ts';

export interface ModelFolder {
  readonly weights: WeightSource;
  /** JSON files by name. */
  readonly configs: Readonly<Record<string, unknown>>;
  /** Files to be copied, by their new names. */
  readonly copies: ReadonlyMap<string, string>;
  /** Bytes; a single larger tensor has a file of its own. */
  readonly largestShard: number;
  /** Told of bytes written. */
  readonly progress: (bytes: number) => void;
}

/** Writes a new folder, which appears when it is whole. Throws FILE_EXISTS when there is something already. */
export async function writeModelFolder(folder: string, content: ModelFolder): Promise<void> {
  const parent = dirname(folder);
  const temporary = join(parent, `.tmp-${basename(folder)}`);
  await mkdir(parent, { recursive: true }).catch((cause: unknown) => {
    throw diskError(cause, 'writing a model', folder);
  });
  await removeLeftovers(parent);
  await refuseTaken(folder);
  const lock = await takeLock(`${temporary}.lock`, 'this model');
  try {
    await rm(temporary, { recursive: true, force: true });
    await mkdir(temporary);
    await refuseFullDisk(content.weights, temporary);
    await writeWeights(temporary, content);
    for (const [name, config] of Object.entries(content.configs))
      await replaceFile(join(temporary, name), `${JSON.stringify(config, null, 2)}\n`);
    for (const [name, from] of content.copies) await copyDurably(from, join(temporary, name));
    await syncDirectory(temporary);
    await rmdir(folder).catch((cause: unknown) => {
      if (!hasCode(cause, 'ENOENT')) throw cause;
    });
    await rename(temporary, folder);
    await syncDirectory(parent);
  } catch (cause) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    throw diskError(cause, 'writing a model', folder);
  } finally {
    lock.release();
  }
}

/** Half-written models of processes that were killed, each as large as a model: their locks tell that nobody writes them any more. */
async function removeLeftovers(parent: string): Promise<void> {
  // Taking a lock removes what killed processes left beside it.
  const locks = (await readdir(parent)).map((name) => /^\.tmp-.+?\.lock(?=$|\.)/.exec(name)?.[0]);
  for (const name of new Set(locks)) {
    if (name === undefined) continue;
    const lock = await takeLock(join(parent, name), 'this model').catch((error: unknown) => {
      if (error instanceof ReasongenError && error.code === 'RUN_LOCKED') return undefined;
      throw error;
    });
    if (lock === undefined) continue;
    try {
      await rm(join(parent, name.slice(0, -'.lock'.length)), { recursive: true, force: true });
    } catch (cause) {
      throw diskError(cause, 'removing what a killed export left', join(parent, name));
    } finally {
      lock.release();
    }
  }
}

async function copyDurably(from: string, to: string): Promise<void> {
  await copyFile(from, to);
  const file = await open(to, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** An empty folder may be taken. */
async function refuseTaken(folder: string): Promise<void> {
  const names = await readdir(folder).catch((cause: unknown) => {
    if (hasCode(cause, 'ENOENT')) return [];
    throw diskError(cause, 'looking at the folder to be written', folder);
  });
  if (names.length === 0) return;
  throw new ReasongenError({
    code: 'FILE_EXISTS',
    message: 'this folder is not empty',
    place: folder,
    hint: 'choose another --out; nothing is overwritten',
    exitCode: exitCodes.disk,
  });
}

async function refuseFullDisk(weights: WeightSource, folder: string): Promise<void> {
  const needed = [...weights.entries.values()].reduce((sum, entry) => sum + bytesOf(entry), 0);
  const { bavail, bsize } = await statfs(folder);
  if (needed <= bavail * bsize) return;
  throw new ReasongenError({
    code: 'DISK_FULL',
    message: `the weights take ${(needed / 1e9).toFixed(2)} GB, and the disk has ${((bavail * bsize) / 1e9).toFixed(2)} GB left`,
    place: folder,
    hint: 'free some space, or choose another --out',
    exitCode: exitCodes.disk,
  });
}

async function writeWeights(folder: string, { weights, largestShard, progress }: ModelFolder): Promise<void> {
  const shards = divide(weights, largestShard);
  const map: Record<string, string> = {};
  for (const [index, names] of shards.entries()) {
    const number = (value: number): string => String(value).padStart(5, '0');
    const file =
      shards.length === 1 ? 'model.safetensors' : `model-${number(index + 1)}-of-${number(shards.length)}.safetensors`;
    const wanted = new Set(names);
    // Readers of the Hugging Face ecosystem look for this word.
    await writeDurably(
      join(folder, file),
      counted(
        streamSafetensors(
          filtered(weights, (name) => wanted.has(name)),
          { format: 'pt' },
        ),
        progress,
      ),
      disk,
    );
    for (const name of names) map[name] = file;
  }
  if (shards.length === 1) return;
  const total = [...weights.entries.values()].reduce((sum, entry) => sum + bytesOf(entry), 0);
  await replaceFile(
    join(folder, 'model.safetensors.index.json'),
    `${JSON.stringify({ metadata: { total_size: total }, weight_map: map }, null, 2)}\n`,
  );
}

async function* counted(
  chunks: AsyncIterable<Uint8Array>,
  progress: (bytes: number) => void,
): AsyncIterable<Uint8Array> {
  for await (const chunk of chunks) {
    yield chunk;
    progress(chunk.byteLength);
  }
}

/** Names in their order, as many to a file as fit. */
function divide(weights: WeightSource, largest: number): string[][] {
  const shards: string[][] = [[]];
  let bytes = 0;
  for (const name of [...weights.entries.keys()].sort()) {
    const entry = weights.entries.get(name);
    const size = entry === undefined ? 0 : bytesOf(entry);
    if (bytes > 0 && bytes + size > largest) {
      shards.push([]);
      bytes = 0;
    }
    shards.at(-1)?.push(name);
    bytes += size;
  }
  return shards;
}

/** Id of an added token of a tokenizer.json, by its string; undefined for every token when there is no such file. */
export async function addedTokens(folder: string): Promise<(token: string) => number | undefined> {
  const file = join(folder, 'tokenizer.json');
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    if (hasCode(cause, 'ENOENT')) return '{}';
    throw diskError(cause, 'reading the tokenizer', file);
  });
  let json: { readonly added_tokens?: unknown } | null;
  try {
    json = JSON.parse(text) as typeof json;
  } catch (cause) {
    throw new ReasongenError({
      code: 'BAD_TOKENIZER',
      message: 'the file is not JSON',
      place: file,
      hint: 'copy or download it again',
      exitCode: exitCodes.disk,
      cause,
    });
  }
  const ids = new Map<string, number>();
  for (const token of (Array.isArray(json?.added_tokens) ? json.added_tokens : []) as unknown[]) {
    const { id, content } = (typeof token === 'object' && token !== null ? token : {}) as Readonly<
      Record<string, unknown>
    >;
    if (typeof content === 'string' && typeof id === 'number') ids.set(content, id);
  }
  return (token) => ids.get(token);
}
