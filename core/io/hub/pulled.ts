/** What this program notes beside the files of a model in the cache: what belongs to a snapshot, and what was compared with its hash. */
import { existsSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { diskError, replaceLoneFile } from '../disk.ts';
import type { HubFile } from './client.ts';

/** Files whose hash was right, as long as neither size nor time of theirs changes. */
export interface Verified {
  has(path: string): Promise<boolean>;
  note(path: string): Promise<void>;
  save(): Promise<void>;
}

export async function openVerified(folder: string): Promise<Verified> {
  const record = join(folder, '.reasongen-verified.json');
  const known = new Map(Object.entries(await readRecord(record)));
  const before = known.size;
  let isChanged = false;
  const state = async (path: string): Promise<string | undefined> => {
    const status = await stat(path).catch(() => undefined);
    return status?.isFile() === true ? `${status.size} ${status.mtimeMs}` : undefined;
  };
  return {
    async has(path) {
      const now = await state(path);
      return now !== undefined && known.get(relative(folder, path)) === now;
    },
    async note(path) {
      const now = await state(path);
      const key = relative(folder, path);
      if (now === undefined || known.get(key) === now) return;
      known.set(key, now);
      isChanged = true;
    },
    async save() {
      if (isChanged || known.size !== before) await write(record, Object.fromEntries(known));
    },
  };
}

/** Notes which files a pull has put into a snapshot, so that a look without the network finds what is missing. */
export async function noteFiles(folder: string, commit: string, files: readonly HubFile[]): Promise<void> {
  const record = snapshotRecord(folder, commit);
  const before = Object.keys(await readRecord(record));
  const all = [...new Set([...before, ...files.map(({ path }) => path)])];
  if (all.length > before.length) await write(record, Object.fromEntries(all.map((path) => [path, ''])));
}

/** What a snapshot lacks to be the model that was pulled, or any model where another program has pulled it. */
export async function missingFiles(snapshot: string, isChosen: boolean): Promise<string[]> {
  const folder = dirname(dirname(snapshot));
  const noted = Object.keys(await readRecord(snapshotRecord(folder, basename(snapshot))));
  const names = await readdir(snapshot, { recursive: true }).catch((cause: unknown) => {
    throw diskError(cause, 'looking into the cache', snapshot);
  });
  // A link to a blob that is not there exists as a name only.
  const missing = new Set([...noted, ...names].filter((name) => !existsSync(join(snapshot, name))));
  for (const index of names.filter((name) => /^[^/]+\.index\.json$/.test(name))) {
    const shards = Object.values(await readRecord(join(snapshot, index), 'weight_map'));
    for (const shard of shards) if (!existsSync(join(snapshot, shard))) missing.add(shard);
  }
  if (isChosen) return [...missing];
  const has = (pattern: RegExp): boolean => names.some((name) => pattern.test(name) && !missing.has(name));
  if (!has(/^[^/]+\.(safetensors|bin|pt|pth)$/)) missing.add('a file of weights');
  const isModel = has(/^config\.json$/) && !has(/^adapter_config\.json$/);
  if (noted.length === 0 && isModel && !has(/^(tokenizer\.(json|model)|vocab\.\w+)$/)) missing.add('tokenizer.json');
  return [...missing];
}

function snapshotRecord(folder: string, commit: string): string {
  return join(folder, `.reasongen-files-${commit}.json`);
}

/** Texts by name; none where the file is missing or no such record. */
async function readRecord(path: string, key?: string): Promise<Readonly<Record<string, string>>> {
  try {
    const json = JSON.parse(await readFile(path, 'utf8')) as Readonly<Record<string, unknown>> | null;
    const record = key === undefined ? json : json?.[key];
    if (typeof record !== 'object' || record === null) return {};
    return Object.fromEntries(
      Object.entries(record).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
    );
  } catch {
    return {};
  }
}

async function write(path: string, record: Readonly<Record<string, string>>): Promise<void> {
  await replaceLoneFile(path, `${JSON.stringify(record)}\n`).catch((cause: unknown) => {
    throw diskError(cause, 'noting what is in the cache', path);
  });
}
