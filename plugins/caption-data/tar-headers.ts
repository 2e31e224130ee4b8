/**
 * The members of a tar archive, from its headers alone: ustar, GNU and pax (https://www.gnu.org/software/tar/manual/html_node/Standard.html).
 * Nothing a header claims is believed before it is compared with the size of the file, and every step goes forward.
 */
import type { FileHandle } from 'node:fs/promises';
import { posix } from 'node:path';
import { ReasongenError } from '../../core/plugin.ts';
import { readPiece } from './rows.ts';

const sector = 512;
/** Extended headers hold names; a longer one is damaged. */
const longestExtension = 2 ** 20;

export interface Member {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  /** Why its content cannot be read; it stands in the archive as something other than bytes. */
  readonly unreadable?: string;
}

interface Header {
  readonly name: string;
  readonly size: number;
  readonly kind: string;
  readonly link: string;
  /** Of an old GNU header: more headers of a sparse file follow. */
  readonly isExtended: boolean;
}

/** Throws BAD_TAR, naming the byte. */
export async function listMembers(handle: FileHandle, path: string): Promise<Member[]> {
  const { size: fileSize } = await handle.stat();
  const members: Member[] = [];
  const byName = new Map<string, Member>();
  /** Of the next member, from extended headers before it. */
  let extension: Extension = {};
  let zeros = 0;
  for (let offset = 0; offset < fileSize;) {
    if (offset + sector > fileSize) {
      // What stands behind the end of an archive need not be whole.
      if (zeros >= 2) return members;
      throw damaged(path, 'a header is cut short', offset);
    }
    const bytes = await readPiece(handle, offset, sector);
    if (bytes.every((byte) => byte === 0)) {
      zeros += 1;
      offset += sector;
      continue;
    }
    const header = parseHeader(bytes);
    // Two sectors of zeros end an archive; another archive may follow, anything else is no part of it.
    if (header === undefined && zeros >= 2) return members;
    if (header === undefined) throw notTar(path, bytes, offset);
    zeros = 0;
    let start = offset + sector;
    const size = extension.size ?? header.size;
    if (header.kind === 'S') start = await behindSparseHeaders(handle, path, start, fileSize, header.isExtended);
    // Links and folders may carry the size of what they stand for. Before POSIX a folder was a file whose name ends so.
    const isFolder = header.kind === '5' || ('0\0'.includes(header.kind) && header.name.endsWith('/'));
    const stored = isFolder || '12346'.includes(header.kind) ? 0 : size;
    if (start + stored > fileSize) throw damaged(path, 'a member is cut short', offset);
    if ('xgLK'.includes(header.kind)) {
      if (stored > longestExtension) throw damaged(path, 'an extended header is too long', offset);
      extension = extend(extension, header.kind, await readPiece(handle, start, stored), () =>
        damaged(path, 'an extended header is damaged', offset),
      );
    } else {
      const member = memberOf({ ...header, size: stored }, extension, start, byName);
      if (member !== undefined) {
        members.push(member);
        byName.set(member.name, member);
      }
      extension = {};
    }
    offset = start + Math.ceil(stored / sector) * sector;
  }
  // A copy that broke off between two members lacks no more than this.
  if (zeros === 0) throw damaged(path, 'the mark of the end is missing', fileSize);
  return members;
}

/** What extended headers say of the member behind them. */
interface Extension {
  readonly name?: string;
  readonly link?: string;
  readonly size?: number;
  readonly isSparse?: boolean;
}

function extend(before: Extension, kind: string, bytes: Buffer, damage: () => ReasongenError): Extension {
  if (kind === 'L') return { ...before, name: text(bytes, 0, bytes.length) };
  if (kind === 'K') return { ...before, link: text(bytes, 0, bytes.length) };
  // A global header speaks of times and owners; names and sizes of all members alike would make no sense.
  if (kind === 'g') return before;
  const records = new Map<string, string>();
  for (let at = 0; at < bytes.length && bytes[at] !== 0;) {
    const space = bytes.indexOf(32, at);
    const length = Number(bytes.toString('latin1', at, space));
    if (space < 0 || !Number.isInteger(length) || length <= space - at || at + length > bytes.length) throw damage();
    const record = bytes.subarray(space + 1, at + length - 1);
    const equals = record.indexOf(61);
    if (equals < 0) throw damage();
    records.set(record.toString('latin1', 0, equals), text(record, equals + 1, record.length - equals - 1));
    at += length;
  }
  const [name, link, size] = [records.get('path'), records.get('linkpath'), records.get('size')];
  if (size !== undefined && !/^\d{1,15}$/.test(size)) throw damage();
  return {
    ...before,
    ...(name !== undefined && { name }),
    ...(link !== undefined && { link }),
    ...(size !== undefined && { size: Number(size) }),
    ...([...records.keys()].some((key) => key.startsWith('GNU.sparse')) && {
      isSparse: true,
      name: records.get('GNU.sparse.name') ?? name ?? before.name ?? '',
    }),
  };
}

/** Undefined for what is no file: folders, devices, labels. */
function memberOf(
  header: Header,
  extension: Extension,
  offset: number,
  byName: ReadonlyMap<string, Member>,
): Member | undefined {
  const { kind, size } = header;
  const name = plainName(extension.name || header.name);
  if (kind === '1' || kind === '2') {
    const link = extension.link ?? header.link;
    // What a symbolic link says is seen from its own folder.
    const target = byName.get(plainName(kind === '1' ? link : posix.join(posix.dirname(name), link)));
    if (target !== undefined) return { ...target, name };
    return { name, offset, size: 0, unreadable: `it is a link to ${link}, which is not in the archive before it` };
  }
  if (kind === 'S' || extension.isSparse === true) return { name, offset, size, unreadable: 'it is stored as sparse' };
  if (!'0\x007'.includes(kind) || name.endsWith('/')) return undefined;
  return { name, offset, size };
}

/** "./a//b.png" is "a/b.png". */
function plainName(name: string): string {
  return name.replace(/\/{2,}/g, '/').replace(/^(?:\.?\/)+/, '');
}

/** Undefined when the sum over its bytes is not what it says, or a number is none. */
function parseHeader(bytes: Buffer): Header | undefined {
  const sums = [0, 0];
  bytes.forEach((byte, index) => {
    const counted = index >= 148 && index < 156 ? 32 : byte;
    sums[0] = (sums[0] ?? 0) + counted;
    // Some old programs added signed bytes.
    sums[1] = (sums[1] ?? 0) + ((counted << 24) >> 24);
  });
  const [sum, size] = [number(bytes, 148, 8), number(bytes, 124, 12)];
  if (sum === undefined || size === undefined || !sums.includes(sum)) return undefined;
  // GNU's own format keeps times where POSIX keeps the beginning of a long name.
  const isPosix = bytes.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = isPosix ? text(bytes, 345, 155) : '';
  const name = text(bytes, 0, 100);
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    size,
    kind: String.fromCharCode(bytes[156] ?? 0),
    link: text(bytes, 157, 100),
    isExtended: bytes[482] === 1,
  };
}

/** The list of a sparse file's parts may need sectors of its own. */
async function behindSparseHeaders(
  handle: FileHandle,
  path: string,
  start: number,
  fileSize: number,
  isExtended: boolean,
): Promise<number> {
  let at = start;
  for (let more = isExtended; more; at += sector) {
    if (at + sector > fileSize) throw damaged(path, 'a sparse header is cut short', at);
    more = (await readPiece(handle, at, sector))[504] === 1;
  }
  return at;
}

/** A number of a header; undefined when it is none or negative. Sizes of 8 GiB and more are binary, marked by the first bit. */
function number(bytes: Buffer, start: number, length: number): number | undefined {
  const first = bytes[start] ?? 0;
  if ((first & 0x80) !== 0) {
    if (first !== 0x80) return undefined;
    let value = 0;
    for (let at = start + 1; at < start + length; at++) value = value * 256 + (bytes[at] ?? 0);
    return Number.isSafeInteger(value) ? value : undefined;
  }
  const digits = /^[ \0]*([0-7]*)[ \0]*$/.exec(bytes.toString('latin1', start, start + length))?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits || '0', 8);
}

/** Up to its NUL. Names are bytes to tar: those that are not UTF-8 are taken as Latin-1, so that no two become the same. */
function text(bytes: Buffer, start: number, length: number): string {
  const field = bytes.subarray(start, start + length);
  const end = field.indexOf(0);
  const name = end < 0 ? field : field.subarray(0, end);
  const asUtf8 = name.toString('utf8');
  return Buffer.from(asUtf8).equals(name) ? asUtf8 : name.toString('latin1');
}

function notTar(path: string, bytes: Buffer, offset: number): ReasongenError {
  if (offset === 0 && bytes[0] === 0x1f && bytes[1] === 0x8b)
    return new ReasongenError({
      code: 'BAD_TAR',
      message: 'this archive is compressed with gzip, and its members are read where they lie',
      place: path,
      hint: 'unpack it to a plain .tar (gunzip)',
      exitCode: 6,
    });
  return damaged(path, 'the checksum of a header is wrong', offset);
}

function damaged(path: string, what: string, offset: number): ReasongenError {
  return new ReasongenError({
    code: 'BAD_TAR',
    message: `${what} at byte ${offset}: this is no whole tar archive`,
    place: path,
    hint: 'copy or download the file again',
    exitCode: 6,
  });
}
