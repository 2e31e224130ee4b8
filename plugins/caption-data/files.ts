/** The files of a data set: one file, or those of a folder, by their endings. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ReasongenError } from '../../core/plugin.ts';
import { openJsonLines } from './jsonl.ts';
import { openParquet } from './parquet.ts';
import type { RowFile } from './rows.ts';
import { openTar } from './tar.ts';

export interface Columns {
  readonly image: string;
  readonly prompt: string;
  readonly rationale: string;
  readonly augmentedPrompts: string;
  readonly augmentedRationales: string;
}

const openers: Readonly<Record<string, (path: string, columns: Columns) => Promise<RowFile>>> = {
  parquet: (path, columns) => openParquet(path, Object.values(columns)),
  jsonl: openJsonLines,
  ndjson: openJsonLines,
  tar: openTar,
};

/** All files of a folder and its folders, in the order of their names; `include`: only those whose path contains this. */
export async function openFiles(path: string, include: string | undefined, columns: Columns): Promise<RowFile[]> {
  const paths = (await find(path)).filter((each) => include === undefined || each.slice(path.length).includes(include));
  const known = paths.filter((each) => endingOf(each) in openers);
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
  try {
    for (const each of known) {
      const open = openers[endingOf(each)];
      if (open !== undefined) files.push(await open(each, columns));
    }
  } catch (error) {
    for (const file of files) await file.close();
    throw error;
  }
  return files;
}

function endingOf(path: string): string {
  return /\.(\w+)$/.exec(path)?.[1]?.toLowerCase() ?? '';
}

async function find(path: string): Promise<string[]> {
  const status = await stat(path).catch((cause: unknown) => {
    throw new ReasongenError({
      code: 'DATASET_NOT_FOUND',
      message: 'the data set is not there',
      place: path,
      hint: 'check dataset.path',
      exitCode: 2,
      cause,
    });
  });
  if (!status.isDirectory()) return [path];
  const names = (await readdir(path)).sort();
  const found: string[] = [];
  for (const name of names) if (!name.startsWith('.')) found.push(...(await find(join(path, name))));
  return found;
}
