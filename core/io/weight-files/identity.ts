/** What weights are called by their content: sha256 in hexadecimal. */
import { createHash } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fingerprint } from '../fingerprint.ts';
import { readIndex } from './shards.ts';

/** Of a file; for an index, of the list of its files' hashes. */
export async function contentHash(file: string): Promise<string> {
  if (!file.endsWith('.index.json')) return fileHash(file);
  const hash = createHash('sha256');
  for (const name of [...new Set((await readIndex(file)).values())].sort())
    hash.update(`${name} ${await fileHash(join(dirname(file), name))}\n`);
  return hash.digest('hex');
}

/** A file of the hub's cache is a link to one that is called by its hash, which was checked when it was pulled. */
async function fileHash(file: string): Promise<string> {
  const target = await realpath(file);
  const name = basename(target);
  return basename(dirname(target)) === 'blobs' && /^[0-9a-f]{64}$/.test(name) ? name : (await fingerprint(file)).sha256;
}
