/** The picture of a row: a data URI, base64, bytes, Hugging Face's struct of bytes and path, or the name of a file. */
import { stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, normalize } from 'node:path';
import { pictureFormat } from '../../core/compute.ts';
import { diskError, hasCode, readBounded, ReasongenError, shorten } from '../../core/plugin.ts';
import { isOfMachine, longestPiece } from './rows.ts';
import { BadValue, plainText } from './values.ts';

/** The encoded bytes. `file`: the row's file, beside which names of files are looked up. Throws BadValue. */
export async function pictureBytes(value: unknown, file: string): Promise<Uint8Array> {
  // Parquet gives texts as bytes when asked for bytes.
  if (value instanceof Uint8Array)
    return pictureFormat(value) !== undefined || !isPrintable(value)
      ? value
      : fromText(plainText(value, 'its picture'), file);
  if (typeof value === 'string') return fromText(value, file);
  if (Array.isArray(value)) {
    const [only] = value as readonly unknown[];
    if (value.length !== 1) throw new BadValue(`it has ${value.length} pictures where one is wanted`);
    if (Array.isArray(only)) throw new BadValue('its picture is a list of lists');
    return pictureBytes(only, file);
  }
  if (typeof value === 'object' && value !== null) {
    const { bytes, path } = value as { readonly bytes?: unknown; readonly path?: unknown };
    if (bytes instanceof Uint8Array && bytes.length > 0) return bytes;
    if (typeof bytes === 'string' && bytes !== '')
      return isDataUri(bytes) ? fromText(bytes, file) : fromBase64(bytes, '');
    if (path instanceof Uint8Array || typeof path === 'string') return fromText(plainText(path, 'its path'), file);
  }
  throw new BadValue('it has no picture');
}

async function fromText(text: string, file: string): Promise<Uint8Array> {
  if (text.trim() === '') throw new BadValue('it has no picture');
  if (isDataUri(text)) return fromDataUri(text.trimStart());
  if (pictureFormat(Buffer.from(text.trimStart().slice(0, 24), 'base64')) !== undefined) return fromBase64(text, '');
  if (/^[a-z][a-z\d+.-]+:\/\//i.test(text))
    throw new BadValue(`its picture is an address (${shorten(text)}), and none is fetched: put files beside the data`);
  // No system has longer paths.
  if (text.length > 4096)
    throw new BadValue(`its picture is a text of ${text.length} characters, neither a path nor base64`);
  return fromFile(text, file);
}

function isDataUri(text: string): boolean {
  return /^\s*data:/i.test(text.slice(0, 300));
}

function fromDataUri(text: string): Uint8Array {
  const [whole, type] = /^data:([^,]{0,200}),/i.exec(text.slice(0, 300)) ?? [];
  if (whole === undefined || type === undefined) throw new BadValue('its picture is a data URI without a comma');
  if (!/;\s*base64$/i.test(type) || !/^(?:image\/|application\/octet-stream|;)/i.test(type))
    throw new BadValue('its picture is a data URI of another kind than image/…;base64');
  return fromBase64(text.slice(whole.length), 'data URI of a ');
}

async function fromFile(name: string, file: string): Promise<Uint8Array> {
  const folder = dirname(file);
  const path = normalize(isAbsolute(name) ? name : join(folder, name));
  if (!path.startsWith(`${normalize(folder)}/`))
    throw new BadValue(`its picture lies outside the folder of the data: ${shorten(name)}`);
  try {
    // A pipe or a device would be waited for.
    if (!(await stat(path)).isFile()) throw new BadValue(`its picture is no file: ${shorten(name)}`);
    return await readBounded(path, 'reading a picture', longestPiece);
  } catch (cause) {
    if (cause instanceof BadValue) throw cause;
    const reason = cause instanceof ReasongenError ? (cause.cause ?? cause) : cause;
    if (isOfMachine(reason)) throw diskError(reason, 'reading a picture', path);
    const code = hasCode(reason, 'ENOENT') ? 'ENOENT, no such file' : codeOf(reason);
    throw new BadValue(`its picture cannot be read (${code}): ${shorten(name)}`);
  }
}

function codeOf(error: unknown): string {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return error instanceof Error ? shorten(error.message) : 'unknown';
}

/** Also in the alphabet for URLs, percent-encoded, or in lines. `what`: for messages. */
function fromBase64(text: string, what: string): Uint8Array {
  const plain = text.includes('%') ? decodePercent(text) : text;
  const digits = plain.replace(/\s+/g, '');
  const bytes = Buffer.from(digits, 'base64');
  // Node passes over what is no digit; a byte for each three quarters of a digit must have come out.
  const wanted = Math.floor((digits.replace(/=+$/, '').length * 3) / 4);
  if (bytes.length !== wanted) throw new BadValue(`its picture is a ${what}text that is not base64`);
  if (bytes.length === 0) throw new BadValue('it has no picture');
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function decodePercent(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    if (cause instanceof URIError) return text;
    throw cause;
  }
}

/** Whether bytes may be a text: a name, an address or base64. */
function isPrintable(bytes: Uint8Array): boolean {
  return bytes.subarray(0, 64).every((byte) => byte >= 32 || (byte >= 9 && byte <= 13));
}
