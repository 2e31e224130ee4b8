/**
 * WebDataset archives (https://github.com/webdataset/webdataset): members whose names are equal up to the first dot are one row, and what
 * follows that dot is the name of a field. A field is a column of its name; besides, one picture is the image, `txt` the prompt, and
 * the keys of `json` are columns where no member is one. Members of a row may stand anywhere in the archive.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { decodeText, ReasongenError } from '../../core/plugin.ts';
import { leavesOf } from './leaves.mjs';
import { evenBlocks, longestPiece, readPiece, rowsPerBlock, UnreadableRow, type Row, type RowFile } from './rows.ts';
import { listMembers, type Member } from './tar-headers.ts';
import { BadValue } from './values.ts';

/** Fields that are pictures. */
const pictureFields = ['jpg', 'jpeg', 'png', 'webp', 'avif', 'gif', 'tif', 'tiff'] as const;

/** JSON with more bytes holds pictures, no names of them. */
const longestText = 2 ** 20;

/** Those that are read, `image` and `prompt` among them. */
type TarColumns = { readonly image: string; readonly prompt: string };

interface Sample {
  readonly key: string;
  readonly fields: ReadonlyMap<string, Member>;
}

export async function openTar(path: string, columns: TarColumns): Promise<RowFile> {
  const handle = await open(path, 'r');
  try {
    const samples = group(await listMembers(handle, path), path);
    return {
      path,
      blocks: evenBlocks(samples.length),
      read: async (block) => ({
        row: (index) => {
          const sample = samples[block * rowsPerBlock + index];
          return sample === undefined
            ? Promise.resolve(new UnreadableRow('it is missing'))
            : readRow(handle, sample, columns);
        },
      }),
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * Members of one row, in the order in which the rows begin. Hidden files and the folder with the companions that macOS packs belong to none.
 */
function group(members: readonly Member[], path: string): Sample[] {
  const samples = new Map<string, Map<string, Member>>();
  for (const member of members) {
    const parts = /^((?:.*\/)?[^/.]+)\.([^/]*)$/s.exec(member.name);
    if (parts === null || member.name.startsWith('__MACOSX/')) continue;
    const [, key = '', ending = ''] = parts;
    const field = ending.toLowerCase();
    const fields = samples.get(key) ?? new Map<string, Member>();
    if (fields.has(field)) {
      throw new ReasongenError({
        code: 'BAD_TAR',
        message: `the sample "${key}" has the field "${field}" twice; the second is ${member.name} at byte ${member.offset}`,
        place: path,
        hint: 'give every sample a name of its own, and pack each of its members once',
        exitCode: 6,
      });
    }
    samples.set(key, fields.set(field, member));
  }
  return [...samples].map(([key, fields]) => ({ key, fields }));
}

/** Texts in the JSON of an archive's rows, which may name pictures beside it. What cannot be read is said by who reads the rows. */
export async function* tarTexts(path: string): AsyncGenerator<string> {
  const handle = await open(path, 'r');
  try {
    for (const member of await membersOf(handle, path)) {
      if (!/\.json$/i.test(member.name) || member.size > longestText) continue;
      for (const leaf of leavesOf(await objectIn(handle, member))) if (typeof leaf === 'string') yield leaf;
    }
  } finally {
    await handle.close();
  }
}

async function membersOf(handle: FileHandle, path: string): Promise<readonly Member[]> {
  try {
    return await listMembers(handle, path);
  } catch (cause) {
    if (cause instanceof ReasongenError) return [];
    throw cause;
  }
}

async function objectIn(handle: FileHandle, member: Member): Promise<unknown> {
  try {
    return objectOf(textOf(await bytesOf(handle, member), member), member);
  } catch (cause) {
    if (cause instanceof BadValue || cause instanceof RangeError) return undefined;
    throw cause;
  }
}

async function readRow(handle: FileHandle, { fields }: Sample, columns: TarColumns): Promise<Row | UnreadableRow> {
  const row = new Map<string, unknown>();
  try {
    for (const column of Object.values(columns)) {
      // Fields are told apart whatever case their letters have.
      const member = fields.get(column.toLowerCase());
      if (member !== undefined && column.toLowerCase() !== 'json') row.set(column, await bytesOf(handle, member));
    }
    const pictures = pictureFields.filter((field) => fields.has(field));
    if (!row.has(columns.image) && pictures.length > 1)
      return new UnreadableRow(`it has several pictures (${pictures.join(', ')}): name one in dataset.columns.image`);
    const [picture] = pictures;
    const image = picture === undefined ? undefined : fields.get(picture);
    if (!row.has(columns.image) && image !== undefined) row.set(columns.image, await bytesOf(handle, image));
    const prompt = fields.get('txt');
    if (!row.has(columns.prompt) && prompt !== undefined)
      row.set(columns.prompt, textOf(await bytesOf(handle, prompt), prompt).trim());
    const json = fields.get('json');
    if (json !== undefined) {
      for (const [name, value] of Object.entries(objectOf(textOf(await bytesOf(handle, json), json), json)))
        if (!row.has(name)) row.set(name, value);
    }
  } catch (error) {
    if (error instanceof BadValue || error instanceof RangeError) return new UnreadableRow(error.message);
    throw error;
  }
  if (!row.has(columns.image)) return new UnreadableRow(withoutPicture([...fields.keys()]));
  return Object.fromEntries(row);
}

function withoutPicture(fields: readonly string[]): string {
  const some = fields.slice(0, 6).join(', ');
  return `it has no picture: its fields, what follows the first dot of a name, are ${some}${fields.length > 6 ? ' and others' : ''}`;
}

async function bytesOf(handle: FileHandle, { name, offset, size, unreadable }: Member): Promise<Uint8Array> {
  if (unreadable !== undefined) throw new BadValue(`${name} cannot be read: ${unreadable}`);
  if (size > longestPiece) throw new BadValue(`${name} has ${size} bytes, more than are read at once`);
  return new Uint8Array(await readPiece(handle, offset, size));
}

function textOf(bytes: Uint8Array, { name }: Member): string {
  try {
    return decodeText(bytes);
  } catch (cause) {
    if (cause instanceof RangeError) throw new BadValue(`${name} is no text: ${cause.message}`);
    throw cause;
  }
}

function objectOf(text: string, { name }: Member): object {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
  }
  throw new BadValue(`${name} is not a JSON object`);
}
