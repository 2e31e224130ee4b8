/** A model spread over several files: an index says which tensor lies in which of them. */
import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { SourceEntry, WeightSource } from '../../contracts/weight-source.ts';
import { diskError } from '../disk.ts';
import { badWeights } from './errors.ts';

/** Bytes; the index of a model of a hundred thousand tensors is shorter. */
const longestIndex = 64 * 2 ** 20;

/** Opens `….index.json` and every file it names, all in its own folder. Throws BAD_WEIGHTS, naming file and tensor. */
export async function openShards(
  index: string,
  openFile: (path: string) => Promise<WeightSource>,
): Promise<WeightSource> {
  const placement = await readIndex(index);
  const names = [...new Set(placement.values())].sort();
  const shards = new Map<string, WeightSource>();
  const close = async (): Promise<void> => {
    for (const shard of shards.values()) await shard.close();
  };
  try {
    for (const name of names) shards.set(name, await openShard(index, name, openFile));
    const { entries, owners } = unite(index, placement, shards);
    return {
      origin: dirname(index),
      entries,
      metadata: Object.assign({}, ...[...shards.values()].map(({ metadata }) => metadata)) as Record<string, string>,
      read(name, first, count) {
        const owner = owners.get(name);
        if (owner === undefined) throw new RangeError(`${index} has no tensor "${name}"`);
        return owner.read(name, first, count);
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function openShard(
  index: string,
  name: string,
  openFile: (path: string) => Promise<WeightSource>,
): Promise<WeightSource> {
  const path = join(dirname(index), name);
  const isThere = await stat(path).then(
    () => true,
    () => false,
  );
  if (!isThere)
    throw badWeights(
      index,
      `the index names ${name}, which is not there`,
      'download the missing file (`reasongen pull` goes on where it stopped)',
    );
  return openFile(path);
}

/** All tensors of all shards. Each must be where the index says, and in one shard only. */
function unite(index: string, placement: ReadonlyMap<string, string>, shards: ReadonlyMap<string, WeightSource>) {
  const entries = new Map<string, SourceEntry>();
  const owners = new Map<string, WeightSource>();
  for (const [file, shard] of shards) {
    for (const [name, entry] of shard.entries) {
      const other = owners.get(name);
      if (other !== undefined)
        throw badWeights(
          shard.origin,
          `tensor "${name}" is also in ${other.origin}`,
          'download both files again; they do not belong together',
        );
      const expected = placement.get(name);
      if (expected !== undefined && expected !== file)
        throw badWeights(
          index,
          `the index says that tensor "${name}" is in ${expected}, but it is in ${file}`,
          'download the index and the files again',
        );
      entries.set(name, entry);
      owners.set(name, shard);
    }
  }
  for (const [name, file] of placement) {
    if (!owners.has(name))
      throw badWeights(
        index,
        `the index says that tensor "${name}" is in ${file}, but it is not there`,
        'download the index and the files again',
      );
  }
  return { entries, owners };
}

/** Tensor → file name. A name is that of a file beside the index, never a path. */
export async function readIndex(index: string): Promise<Map<string, string>> {
  const hint = 'download the index again';
  let json: unknown;
  try {
    if ((await stat(index)).size > longestIndex)
      throw badWeights(index, `the index has more than ${longestIndex} bytes`, hint);
    json = JSON.parse(await readFile(index, 'utf8'));
  } catch (cause) {
    if (cause instanceof SyntaxError) throw badWeights(index, 'the index is not JSON', hint, cause);
    throw diskError(cause, 'reading the index of a model', index);
  }
  const map = typeof json === 'object' && json !== null && 'weight_map' in json ? json.weight_map : undefined;
  if (typeof map !== 'object' || map === null || Array.isArray(map))
    throw badWeights(index, 'the index has no weight_map', hint);
  const placement = new Map<string, string>();
  for (const [name, file] of Object.entries(map) as [string, unknown][]) {
    if (typeof file !== 'string' || !/^[^/\\:\0]+$/.test(file) || file === '.' || file === '..') {
      throw badWeights(
        index,
        `the index puts tensor "${name}" into ${JSON.stringify(file)}, which is not the name of a file beside it`,
        hint,
      );
    }
    placement.set(name, file);
  }
  if (placement.size === 0) throw badWeights(index, 'the index names no tensor', hint);
  return placement;
}
