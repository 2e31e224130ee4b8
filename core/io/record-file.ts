/**
 * Reads a file of a run that may come from somebody else: only what lies in the directory itself, is a regular file and of a
 * bounded size. A link, a pipe or a device in its place is refused before it is opened.
 */
import { lstat, readdir, readFile, realpath } from 'node:fs/promises';
import { isAbsolute, join, normalize } from 'node:path';
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
  if (leadsOutside(name)) throw badRecord(path, 'it lies outside of the directory');
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

/** Whether a name in a record, which is relative to a directory, is that of something elsewhere. */
export function leadsOutside(name: string): boolean {
  return isAbsolute(name) || /^\.\.(?:\/|$)/.test(normalize(name));
}

export async function readTextWithin(directory: string, name: string): Promise<string | undefined> {
  return (await readWithin(directory, name))?.toString('utf8');
}

/** The lines of a file that grows, without their ends. What no line break ends is still being written, or was when its process was killed. */
export function wholeLines(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  for (let from = 0, end = bytes.indexOf(10); end >= 0; from = end + 1, end = bytes.indexOf(10, from))
    lines.push(bytes.subarray(from, end));
  return lines;
}

/** The same as texts, of a file in the directory; none where there is no such file. */
export async function linesWithin(directory: string, name: string): Promise<string[]> {
  const bytes = await readWithin(directory, name);
  return bytes === undefined ? [] : wholeLines(bytes).map(String);
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

/** Undefined for what is no JSON, which itself knows no undefined. */
export function parseJson(json: string): unknown {
  try {
    return JSON.parse(json) as unknown;
  } catch (cause) {
    if (cause instanceof SyntaxError) return undefined;
    throw cause;
  }
}

export function parseRecord(json: string, place: string): object {
  const value = parseJson(json);
  if (typeof value === 'object' && value !== null) return value;
  throw badRecord(place, 'it is not a JSON object');
}
