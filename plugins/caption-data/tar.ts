/**
 * WebDataset archives: members of one name but for their endings are one row (https://github.com/webdataset/webdataset). `.json` gives
 * columns, `.txt` the prompt, a picture the image. Only headers are read when the archive is opened.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { ReasongenError } from '../../core/plugin.ts';
import { evenBlocks, rowsPerBlock, UnreadableRow, type Row, type RowFile } from './rows.ts';

const sector = 512;

interface Member {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

export async function openTar(
  path: string,
  columns: { readonly image: string; readonly prompt: string },
): Promise<RowFile> {
  const handle = await open(path, 'r');
  try {
    const samples = group(await list(handle, path));
    return {
      path,
      blocks: evenBlocks(samples.length),
      read: (block) =>
        Promise.all(
          samples
            .slice(block * rowsPerBlock, (block + 1) * rowsPerBlock)
            .map((members) => readRow(handle, members, columns)),
        ),
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function list(handle: FileHandle, path: string): Promise<Member[]> {
  const { size: fileSize } = await handle.stat();
  const damaged = (what: string, offset: number): ReasongenError =>
    new ReasongenError({
      code: 'BAD_TAR',
      message: `${what} at byte ${offset}: this is no whole tar archive`,
      place: path,
      hint: 'copy or download the file again',
      exitCode: 6,
    });
  const members: Member[] = [];
  /** Of the next member, from an extended header. */
  let longName: string | undefined;
  let offset = 0;
  while (offset + sector <= fileSize) {
    const header = Buffer.alloc(sector);
    await handle.read(header, 0, sector, offset);
    if (header.every((byte) => byte === 0)) return members;
    if (checksum(header) !== octal(header, 148, 8)) throw damaged('the checksum of a header is wrong', offset);
    const size = octal(header, 124, 12);
    const start = offset + sector;
    if (start + size > fileSize) throw damaged('a member is cut short', offset);
    const kind = String.fromCharCode(header[156] ?? 0);
    if (kind === 'x' || kind === 'L') {
      const bytes = Buffer.alloc(size);
      await handle.read(bytes, 0, size, start);
      longName =
        kind === 'L'
          ? text(bytes, 0, size)
          : (/(?:^|\n)\d+ path=([^\n]*)\n/.exec(bytes.toString('utf8'))?.[1] ?? longName);
    } else {
      const prefix = text(header, 345, 155);
      const name = longName ?? (prefix === '' ? text(header, 0, 100) : `${prefix}/${text(header, 0, 100)}`);
      if (kind === '0' || kind === '\0') members.push({ name, offset: start, size });
      longName = undefined;
    }
    offset = start + Math.ceil(size / sector) * sector;
  }
  throw damaged('the mark of the end is missing', offset);
}

/** Members of one row, which stand side by side. */
function group(members: readonly Member[]): Member[][] {
  const samples: Member[][] = [];
  let key: string | undefined;
  for (const member of members) {
    const own = /^((?:.*\/)?[^/.]+)/.exec(member.name)?.[1] ?? member.name;
    if (own === key) samples.at(-1)?.push(member);
    else samples.push([member]);
    key = own;
  }
  return samples;
}

async function readRow(
  handle: FileHandle,
  members: readonly Member[],
  columns: { readonly image: string; readonly prompt: string },
): Promise<Row | UnreadableRow> {
  const row: Record<string, unknown> = {};
  for (const { name, offset, size } of members) {
    const bytes = Buffer.alloc(size);
    await handle.read(bytes, 0, size, offset);
    const ending = name.slice(name.lastIndexOf('.') + 1).toLowerCase();
    if (['jpg', 'jpeg', 'png', 'webp', 'avif', 'gif', 'tiff'].includes(ending))
      row[columns.image] = new Uint8Array(bytes);
    else if (ending === 'txt') row[columns.prompt] = bytes.toString('utf8').trim();
    else if (ending === 'json') {
      try {
        Object.assign(row, JSON.parse(bytes.toString('utf8')));
      } catch (cause) {
        if (!(cause instanceof SyntaxError)) throw cause;
        return new UnreadableRow(`${name} is not JSON`);
      }
    }
  }
  return row;
}

function text(bytes: Buffer, start: number, length: number): string {
  const field = bytes.subarray(start, start + length);
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end < 0 ? length : end);
}

/** Sizes of 8 GiB and more are binary, marked by the first bit. */
function octal(bytes: Buffer, start: number, length: number): number {
  if (((bytes[start] ?? 0) & 0x80) !== 0) return Number(bytes.readBigUInt64BE(start + length - 8));
  return Number.parseInt(text(bytes, start, length).trim() || '0', 8);
}

/** The sum of the header's bytes, its own field counted as spaces. */
function checksum(header: Buffer): number {
  return header.reduce((sum, byte, index) => sum + (index >= 148 && index < 156 ? 32 : byte), 0);
}
