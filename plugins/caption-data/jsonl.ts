/**
 * JSON Lines: a row a line; or one JSON list: a row an element. The file is scanned once for where its rows lie, each is read when it is
 * asked for. Pictures may lie in files beside it.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { decodeText, knownBinary, ReasongenError } from '../../core/plugin.ts';
import { evenBlocks, longestPiece, readPiece, rowsPerBlock, UnreadableRow, type Row, type RowFile } from './rows.ts';

/** Where the rows lie: offset and length of each in bytes, one after the other. */
type Extents = readonly number[];

export async function openJsonLines(path: string): Promise<RowFile> {
  const handle = await open(path, 'r');
  try {
    const { begin, isList } = await beginning(handle, path);
    const extents = isList ? await scanList(handle, begin, path) : await scanLines(handle, begin);
    return {
      path,
      blocks: evenBlocks(extents.length / 2),
      read: async (block) => ({
        async row(index) {
          const at = 2 * (block * rowsPerBlock + index);
          const [offset = 0, length = 0] = [extents[at], extents[at + 1]];
          if (length > longestPiece)
            return new UnreadableRow(`it has ${length} bytes, more than are read at once (${longestPiece})`);
          return parse(await readPiece(handle, offset, length), isList);
        },
      }),
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Behind the byte order mark, and whether what comes is a list. Other encodings and formats are refused by name. */
async function beginning(
  handle: FileHandle,
  path: string,
): Promise<{ readonly begin: number; readonly isList: boolean }> {
  const { size } = await handle.stat();
  const first = await readPiece(handle, 0, Math.min(size, 4096));
  const refuse = (message: string, hint: string): never => {
    throw new ReasongenError({ code: 'BAD_JSON_LINES', message, place: path, hint, exitCode: 2 });
  };
  const known = knownBinary(first);
  if (known !== undefined)
    refuse(`this is no JSON: it is ${known}`, 'name files by what they are; unpack compressed ones');
  if ((first[0] === 0xff && first[1] === 0xfe) || (first[0] === 0xfe && first[1] === 0xff))
    refuse('this file is UTF-16, and JSON is UTF-8', 'save it as UTF-8 (iconv -f UTF-16 -t UTF-8)');
  const begin = first[0] === 0xef && first[1] === 0xbb && first[2] === 0xbf ? 3 : 0;
  // A list may begin behind blank lines.
  const isList = /^[\s]*\[/.test(first.toString('latin1', begin));
  return { begin, isList };
}

async function* pieces(
  handle: FileHandle,
  begin: number,
): AsyncGenerator<{ readonly bytes: Buffer; readonly at: number }> {
  const piece = Buffer.allocUnsafe(2 ** 20);
  for (let at = begin; ;) {
    const { bytesRead } = await handle.read(piece, 0, piece.length, at);
    if (bytesRead === 0) return;
    yield { bytes: piece.subarray(0, bytesRead), at };
    at += bytesRead;
  }
}

const isBlank = (byte: number): boolean => byte === 32 || byte === 10 || byte === 13 || byte === 9;

/** The lines that are not blank. */
async function scanLines(handle: FileHandle, begin: number): Promise<Extents> {
  const extents: number[] = [];
  /** Of the line: where what is not blank begins and ends; -1 while there is nothing. */
  let [first, last] = [-1, -1];
  const end = (): void => {
    if (first >= 0) extents.push(first, last + 1 - first);
    first = -1;
  };
  for await (const { bytes, at } of pieces(handle, begin)) {
    for (let index = 0; index < bytes.length; index++) {
      const byte = bytes[index] ?? 0;
      if (byte === 10) end();
      else if (!isBlank(byte)) {
        if (first < 0) first = at + index;
        last = at + index;
      }
    }
  }
  end();
  return extents;
}

/** The elements of a list: what stands between commas that are in no text and in no inner list or object. */
async function scanList(handle: FileHandle, begin: number, path: string): Promise<Extents> {
  const extents: number[] = [];
  let depth = 0;
  let [inText, escaped, isOver] = [false, false, false];
  let [first, last] = [-1, -1];
  const end = (): void => {
    if (first >= 0) extents.push(first, last + 1 - first);
    first = -1;
  };
  for await (const { bytes, at } of pieces(handle, begin)) {
    for (let index = 0; index < bytes.length; index++) {
      const byte = bytes[index] ?? 0;
      if (inText) {
        if (escaped) escaped = false;
        else if (byte === 92) escaped = true;
        else if (byte === 34) inText = false;
        last = at + index;
        continue;
      }
      if (isBlank(byte)) continue;
      if (isOver) throw badList(path, `something follows its end at byte ${at + index}`);
      const isOpening = byte === 91 || byte === 123;
      const isClosing = byte === 93 || byte === 125;
      if (isClosing) depth -= 1;
      if (depth === 0 && isClosing) [isOver] = [true, end()];
      else if (depth === 1 && byte === 44) end();
      else if (depth > 0) {
        if (first < 0) first = at + index;
        last = at + index;
      }
      if (isOpening) depth += 1;
      inText = byte === 34;
    }
  }
  if (!isOver) throw badList(path, 'it is cut off: its last bracket is missing');
  return extents;
}

function badList(path: string, why: string): ReasongenError {
  return new ReasongenError({
    code: 'BAD_JSON_LINES',
    message: `this list of rows is no JSON: ${why}`,
    place: path,
    hint: 'write one list, or JSON Lines: an object a line',
    exitCode: 2,
  });
}

function parse(bytes: Uint8Array, isElement: boolean): Row | UnreadableRow {
  let text: string;
  try {
    text = decodeText(bytes);
  } catch (cause) {
    if (cause instanceof RangeError)
      return new UnreadableRow(`it is no text: ${cause.message.replace(/^line 1 /, 'it ')}`);
    throw cause;
  }
  try {
    const row = JSON.parse(text) as unknown;
    if (typeof row === 'object' && row !== null && !Array.isArray(row)) return row as Row;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    return new UnreadableRow(`it is not a JSON object${hintOf(text, isElement)}`);
  }
  return new UnreadableRow('it is not a JSON object');
}

/** What is often wrong. */
function hintOf(text: string, isElement: boolean): string {
  if (!isElement && /^[{].*[}],$/s.test(text)) return ': a comma follows it';
  if (/[:[,]\s*-?(?:NaN|Infinity)\b/.test(text)) return ': it holds NaN or Infinity, which JSON does not know';
  return '';
}
