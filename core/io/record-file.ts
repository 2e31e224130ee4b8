/**
 * Reads a file of a run that may come from somebody else: only what lies in the directory itself, is a regular file and of a
 * bounded size. A link, a pipe or a device in its place is refused before it is opened.
 */
import { lstat, readdir, readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { exitCodes, ReasongenError } from '../errors.ts';
import { diskError, hasCode } from './disk.ts';

/** More than any record of a run takes, and less than a text may be long. */
export const largestRecord = 256 * 2 ** 20;

/** Undefined when there is no such file. Throws BAD_RECORD for what is not to be read. `name` is relative to `directory`. */
export async function readWithin(
  directory: string,
  name: string,
  largest = largestRecord,
): Promise<Buffer | undefined> {
  const path = join(directory, name);
  try {
    const status = await lstat(path);
    if ((await realpath(path)) !== join(await realpath(directory), name))
      throw badRecord(path, 'it is a link to another place');
    if (!status.isFile()) throw badRecord(path, 'it is not a regular file');
    if (status.size > largest)
      throw badRecord(path, `it has ${status.size} bytes; at most ${largest} are read of such a file`);
    return await readFile(path);
  } catch (cause) {
    if (hasCode(cause, 'ENOENT', 'ENOTDIR')) return undefined;
    throw diskError(cause, 'reading a record', path);
  }
}

export async function readTextWithin(directory: string, name: string): Promise<string | undefined> {
  return (await readWithin(directory, name))?.toString('utf8');
}

/** Names in a folder of the directory; none when it is not there, or is not its own. */
export async function listWithin(directory: string, name: string): Promise<string[]> {
  const path = join(directory, name);
  try {
    if ((await realpath(path)) !== join(await realpath(directory), name))
      throw badRecord(path, 'it is a link to another place');
    return await readdir(path);
  } catch (cause) {
    if (hasCode(cause, 'ENOENT', 'ENOTDIR')) return [];
    throw diskError(cause, 'listing records', path);
  }
}

export function badRecord(place: string, message: string): ReasongenError {
  return new ReasongenError({
    code: 'BAD_RECORD',
    message,
    place,
    hint: 'remove or repair the file',
    exitCode: exitCodes.disk,
  });
}

export function parseRecord(json: string, place: string): object {
  try {
    const value = JSON.parse(json) as unknown;
    if (typeof value === 'object' && value !== null) return value;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
  }
  throw badRecord(place, 'it is not a JSON object');
}
