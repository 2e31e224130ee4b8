/** The picture of a row: a data URI, bytes, Hugging Face's struct of both, or the name of a file. */
import { readFile } from 'node:fs/promises';
import { dirname, isAbsolute, join, normalize } from 'node:path';
import { BadValue } from './values.ts';

/** The encoded bytes. `file`: the row's file, beside which names of files are looked up. Throws BadValue. */
export async function pictureBytes(value: unknown, file: string): Promise<Uint8Array> {
  if (value instanceof Uint8Array) {
    // Parquet gives texts as bytes when asked for bytes.
    return Buffer.from(value.subarray(0, 5)).toString('latin1') === 'data:'
      ? fromText(new TextDecoder().decode(value), file)
      : value;
  }
  if (typeof value === 'string') return fromText(value, file);
  if (typeof value === 'object' && value !== null) {
    const { bytes, path } = value as { readonly bytes?: unknown; readonly path?: unknown };
    if (bytes instanceof Uint8Array && bytes.length > 0) return bytes;
    const name = path instanceof Uint8Array ? new TextDecoder().decode(path) : path;
    if (typeof name === 'string') return fromText(name, file);
  }
  throw new BadValue('it has no picture');
}

async function fromText(text: string, file: string): Promise<Uint8Array> {
  const match = /^data:image\/[\w.+-]+;base64,/.exec(text.slice(0, 100));
  if (match !== null) return new Uint8Array(Buffer.from(text.slice(match[0].length), 'base64'));
  if (text.startsWith('data:')) throw new BadValue('its picture is a data URI of another kind than image/…;base64');
  const folder = dirname(file);
  const path = normalize(isAbsolute(text) ? text : join(folder, text));
  if (!path.startsWith(`${normalize(folder)}/`))
    throw new BadValue(`its picture lies outside the folder of the data: ${text}`);
  return new Uint8Array(
    await readFile(path).catch((cause: unknown) => {
      throw new BadValue(`its picture cannot be read (${cause instanceof Error ? cause.message : String(cause)})`);
    }),
  );
}
