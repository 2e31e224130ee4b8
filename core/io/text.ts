/** Text files of the user's: bytes to characters without a guess and without a loss. */
import { isUtf8 } from 'node:buffer';
import { open, type FileHandle } from 'node:fs/promises';
import { ReasongenError, exitCodes } from '../errors.ts';
import { scrub } from '../scrub.ts';
import { diskError } from './disk.ts';

/** A text file that is read as a whole may have so many bytes. */
export const longestText = 256 * 2 ** 20;

/**
 * UTF-8, with or without a byte order mark, or UTF-16 with one. RangeError says why bytes are no text: another encoding is never guessed,
 * and no character is replaced.
 */
export function decodeText(bytes: Uint8Array): string {
  const encoding = encodingOf(bytes);
  try {
    const text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
    const nul = text.indexOf('\0');
    if (nul < 0) return text;
    throw new RangeError(`line ${lineAt(text, nul)} holds a NUL character: it is no text, or UTF-16 without its mark`);
  } catch (cause) {
    if (cause instanceof RangeError) throw cause;
    if (encoding !== 'utf-8') throw new RangeError(`it is cut off or damaged ${encoding.toUpperCase()}`, { cause });
    const { line, byte } = firstInvalid(bytes);
    throw new RangeError(
      `line ${line} is not UTF-8 (byte 0x${byte.toString(16).toUpperCase().padStart(2, '0')}): it may be Latin-1 or another encoding`,
      { cause },
    );
  }
}

/** The bytes of a file, read in pieces, so that a pipe or a device without an end is refused, too. Throws what a disk may do wrong. */
export async function readBounded(path: string, doing: string, limit = longestText): Promise<Uint8Array> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'r');
    const pieces: Uint8Array[] = [];
    for (let size = 0; ;) {
      const piece = Buffer.allocUnsafe(2 ** 20);
      const { bytesRead } = await file.read(piece, 0, piece.length, null);
      if (bytesRead === 0) return new Uint8Array(Buffer.concat(pieces));
      size += bytesRead;
      if (size > limit) throw tooLarge(path, limit);
      pieces.push(piece.subarray(0, bytesRead));
    }
  } catch (cause) {
    throw diskError(cause, doing, path);
  } finally {
    await file?.close();
  }
}

/** Content that is not what anybody reads as text, by how it begins, whatever the ending says. */
export function knownBinary(bytes: Uint8Array): string | undefined {
  const begin = Buffer.from(bytes.subarray(0, 512)).toString('latin1');
  return signatures.find(([signature, , at = 0]) => begin.startsWith(signature, at))?.[1];
}

/** Each byte as a Latin-1 character, and where it stands. */
const signatures: readonly (readonly [signature: string, what: string, at?: number])[] = [
  ['PAR1', 'a parquet file'],
  ['ARROW1', 'an Arrow file'],
  ['\x1f\x8b', 'compressed with gzip'],
  ['\x28\xb5\x2f\xfd', 'compressed with zstd'],
  ['BZh', 'compressed with bzip2'],
  ['\xfd7zXZ', 'compressed with xz'],
  ['PK\x03\x04', 'a zip archive (or a spreadsheet)'],
  ['ustar', 'a tar archive', 257],
  ['\x89PNG', 'a picture'],
  ['\xff\xd8\xff', 'a picture'],
  ['GIF8', 'a picture'],
  ['WEBP', 'a picture', 8],
  ['%PDF-', 'a PDF'],
  ['\x93NUMPY', 'a NumPy array'],
  ['SQLite format 3', 'a database'],
  ['version https://git-lfs', 'a pointer of Git LFS in place of the file (git lfs pull)'],
];

/** A secret that begins within what is shown ends within so many characters more. */
const longestSecret = 8192;

/** `text` on one line and not longer than `limit` characters, without secrets: values of files may be whole pictures. */
export function shorten(text: string, limit = 80): string {
  // A terminal would obey control characters.
  const line = scrub(text.slice(0, limit * 2 + longestSecret))
    .slice(0, limit * 2)
    .replace(/\p{Cc}+/gu, ' ');
  const whole = line.length <= limit && text.length <= limit * 2;
  return whole ? line : `${line.slice(0, limit - 1).replace(/[\ud800-\udbff]$/, '')}…`;
}

function encodingOf(bytes: Uint8Array): 'utf-8' | 'utf-16le' | 'utf-16be' {
  const [first, second, third, fourth] = bytes;
  if (first === 0xff && second === 0xfe) {
    if (third === 0 && fourth === 0 && bytes.length % 4 === 0) throw new RangeError('it is UTF-32');
    return 'utf-16le';
  }
  if (first === 0 && second === 0 && third === 0xfe && fourth === 0xff) throw new RangeError('it is UTF-32');
  return first === 0xfe && second === 0xff ? 'utf-16be' : 'utf-8';
}

/** Where the first byte stands that is not UTF-8, line by line: no character holds a line break. */
function firstInvalid(bytes: Uint8Array): { readonly line: number; readonly byte: number } {
  for (let line = 1, start = 0; start < bytes.length; line++) {
    const found = bytes.indexOf(10, start);
    const end = found < 0 ? bytes.length : found;
    if (!isUtf8(bytes.subarray(start, end))) {
      for (let at = start; at < end;) {
        const length = characterLength(bytes[at] ?? 0);
        if (!isUtf8(bytes.subarray(at, Math.min(end, at + length)))) return { line, byte: bytes[at] ?? 0 };
        at += length;
      }
    }
    start = end + 1;
  }
  return { line: 1, byte: 0 };
}

/** Bytes of the UTF-8 character that begins with this one. */
function characterLength(first: number): number {
  return first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

function lineAt(text: string, index: number): number {
  return text.slice(0, index).split('\n').length;
}

function tooLarge(path: string, limit: number): ReasongenError {
  return new ReasongenError({
    code: 'FILE_TOO_LARGE',
    message: `this file has more than ${limit / 2 ** 20} MiB, which is as much as is read at once`,
    place: path,
    hint: 'split it, or check that it is the file you mean',
    exitCode: exitCodes.badPreset,
  });
}
