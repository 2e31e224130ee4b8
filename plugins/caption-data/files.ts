/** The files of a data set: one file, or those of a folder, by their endings. */
import { readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { diskError, hasCode, ReasongenError } from '../../core/plugin.ts';
import { openJsonLines } from './jsonl.ts';
import { openParquet, parquetTexts } from './parquet.ts';
import { ParquetThread } from './parquet-thread.ts';
import type { RowFile } from './rows.ts';
import { openTar, tarTexts } from './tar.ts';

export interface Columns {
  readonly image: string;
  readonly prompt: string;
  readonly rationale: string;
  readonly augmentedPrompts: string;
  readonly augmentedRationales: string;
}

type Opener = (path: string, columns: Columns, thread: ParquetThread) => Promise<RowFile>;

const openers: Readonly<Record<string, Opener>> = {
  parquet: (path, columns, thread) => openParquet(path, Object.values(columns), thread),
  jsonl: openJsonLines,
  ndjson: openJsonLines,
  tar: openTar,
};

/** Files that are read when they are named; in a folder they describe others. */
const namedOnly: Readonly<Record<string, Opener>> = { json: openJsonLines };

/** All files of a folder and its folders, in the order of their names; `include`: only those whose path contains this. */
export async function openFiles(path: string, include: string | undefined, columns: Columns): Promise<RowFile[]> {
  const paths = (await find(path)).filter((each) => include === undefined || each.slice(path.length).includes(include));
  const openerOf = (each: string): Opener | undefined => {
    const ending = endingOf(each);
    const all = each === path ? { ...openers, ...namedOnly } : openers;
    return Object.hasOwn(all, ending) ? all[ending] : undefined;
  };
  const known = paths.filter((each) => openerOf(each) !== undefined);
  if (known.length === 0) {
    throw new ReasongenError({
      code: 'NO_DATA',
      message: `there is no file ending in .${Object.keys(openers).join(', .')}${include === undefined ? '' : ` with "${include}" in its path`}`,
      place: path,
      hint: 'name a file of rows, or a folder with such files',
      exitCode: 2,
    });
  }
  const files: RowFile[] = [];
  // One for all: shards may be many.
  const thread = new ParquetThread();
  try {
    for (const each of known) {
      const opened = await openerOf(each)?.(each, columns, thread).catch((cause: unknown) => {
        throw diskError(cause, 'opening the data set', each);
      });
      if (opened !== undefined) files.push(opened);
    }
  } catch (error) {
    for (const file of files) await file.close();
    await thread.close();
    throw error;
  }
  return files;
}

/** Texts of a file that may be paths of pictures; undefined for formats that are read as JSON. */
export function textsOfFile(path: string): AsyncIterable<string> | undefined {
  const ending = endingOf(path);
  return ending === 'parquet' ? parquetTexts(path) : ending === 'tar' ? tarTexts(path) : undefined;
}

function endingOf(path: string): string {
  return /\.(\w+)$/.exec(path)?.[1]?.toLowerCase() ?? '';
}

/** Files below a path in the order of their names; a folder that is reached twice by links is searched once. */
async function find(path: string, searched = new Set<string>()): Promise<string[]> {
  const status = await stat(path).catch((cause: unknown) => {
    throw hasCode(cause, 'ENOENT', 'ENOTDIR') ? notThere(path, cause) : diskError(cause, 'looking for data', path);
  });
  if (!status.isDirectory()) return [path];
  const folder = await realpath(path);
  if (searched.has(folder)) return [];
  searched.add(folder);
  const names = (await readdir(path)).sort();
  const found: string[] = [];
  for (const name of names) if (!name.startsWith('.')) found.push(...(await find(join(path, name), searched)));
  return found;
}

function notThere(path: string, cause: unknown): ReasongenError {
  return new ReasongenError({
    code: 'DATASET_NOT_FOUND',
    message: 'the data set is not there',
    place: path,
    hint: 'check dataset.path',
    exitCode: 2,
    cause,
  });
}
