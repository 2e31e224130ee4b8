/**
 * The directory of a zip file whose entries are stored, not compressed, as PyTorch writes them (zip64 included).
 * https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, sections 4.3 to 4.5. Nothing is ever unpacked to disk.
 */
import { badWeights } from './errors.ts';
import type { FilePieces } from './file-pieces.ts';

export interface ZipEntry {
  readonly name: string;
  /** Where the bytes begin in the file, and how many there are. */
  readonly begin: number;
  readonly size: number;
  readonly crc32: number;
}

const endSignature = 0x06054b50;
const end64Signature = 0x06064b50;
const locator64Signature = 0x07064b50;
const entrySignature = 0x02014b50;
const localSignature = 0x04034b50;

const endBytes = 22;
const largestComment = 65535;
/** Bytes; 100 000 entries take about 10 MB. */
const largestDirectory = 64 * 2 ** 20;

/** Entries by name. Throws BAD_WEIGHTS where the file contradicts itself. */
export async function readZip(file: FilePieces): Promise<Map<string, ZipEntry>> {
  const { begin, size, count } = await findDirectory(file);
  if (size > largestDirectory || begin + size > file.size)
    throw damaged(file, `its directory should be ${size} bytes at ${begin}, but the file has ${file.size} bytes`);
  const directory = viewOf(await file.read(begin, size));
  const headers: DirectoryHeader[] = [];
  for (let at = 0; headers.length < count;) {
    if (at + 46 > size || directory.getUint32(at, true) !== entrySignature)
      throw damaged(file, `entry ${headers.length} of its directory of ${count} is not there`);
    const header = readHeader(file, directory, at);
    headers.push(header);
    at += header.bytes;
  }
  const entries = new Map<string, ZipEntry>();
  for (const header of headers) {
    if (entries.has(header.name)) throw damaged(file, `it has two entries named "${header.name}"`);
    entries.set(header.name, await locate(file, header, begin));
  }
  refuseOverlaps(file, [...entries.values()]);
  return entries;
}

/** The end record lies at the very end, behind which only a comment may follow; where numbers are too large for it, a zip64 record is named before it. */
async function findDirectory(file: FilePieces): Promise<{ begin: number; size: number; count: number }> {
  const tailStart = Math.max(0, file.size - endBytes - largestComment);
  const tail = viewOf(await file.read(tailStart, file.size - tailStart));
  let at = tail.byteLength - endBytes;
  while (
    at >= 0 &&
    !(tail.getUint32(at, true) === endSignature && at + endBytes + tail.getUint16(at + 20, true) === tail.byteLength)
  )
    at--;
  if (at < 0) throw damaged(file, 'it has no end of a zip file: it was cut off');
  const [count, size, begin] = [
    tail.getUint16(at + 10, true),
    tail.getUint32(at + 12, true),
    tail.getUint32(at + 16, true),
  ];
  if (count !== 0xffff && size !== 0xffffffff && begin !== 0xffffffff) return { begin, size, count };
  const locatorAt = at - 20;
  if (locatorAt < 0 || tail.getUint32(locatorAt, true) !== locator64Signature)
    throw damaged(file, 'it announces a zip64 directory that is not there');
  const recordAt = number64(file, tail, locatorAt + 8);
  if (recordAt + 56 > file.size)
    throw damaged(file, `its zip64 directory record should be at ${recordAt}, but the file has ${file.size} bytes`);
  const record = viewOf(await file.read(recordAt, 56));
  if (record.getUint32(0, true) !== end64Signature)
    throw damaged(file, `there is no zip64 directory record at ${recordAt}`);
  return { count: number64(file, record, 32), size: number64(file, record, 40), begin: number64(file, record, 48) };
}

interface DirectoryHeader {
  readonly name: string;
  readonly size: number;
  readonly crc32: number;
  readonly localHeader: number;
  /** Of this header in the directory. */
  readonly bytes: number;
}

function readHeader(file: FilePieces, view: DataView, at: number): DirectoryHeader {
  const [nameBytes, extraBytes, commentBytes] = [
    view.getUint16(at + 28, true),
    view.getUint16(at + 30, true),
    view.getUint16(at + 32, true),
  ];
  const bytes = 46 + nameBytes + extraBytes + commentBytes;
  if (at + bytes > view.byteLength) throw damaged(file, 'its directory ends within an entry');
  const name = new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + at + 46, nameBytes));
  if ((view.getUint16(at + 8, true) & 1) !== 0) throw damaged(file, `entry "${name}" is encrypted`);
  const method = view.getUint16(at + 10, true);
  if (method !== 0)
    throw badWeights(
      file.path,
      `entry "${name}" is compressed (method ${method})`,
      'save the model with torch.save, which stores tensors uncompressed',
    );
  let [stored, size, localHeader] = [
    view.getUint32(at + 20, true),
    view.getUint32(at + 24, true),
    view.getUint32(at + 42, true),
  ];
  // Fields that overflow are all ones here and stand, in this order, in the extra field 1.
  const extra = new DataView(view.buffer, view.byteOffset + at + 46 + nameBytes, extraBytes);
  for (let place = 0; place + 4 <= extra.byteLength;) {
    const [id, length] = [extra.getUint16(place, true), extra.getUint16(place + 2, true)];
    place += 4;
    if (place + length > extra.byteLength) throw damaged(file, `the extra field of "${name}" is cut off`);
    if (id === 1) {
      let next = place;
      const take = (): number => {
        if (next + 8 > place + length) throw damaged(file, `the zip64 field of "${name}" is cut off`);
        next += 8;
        return number64(file, extra, next - 8);
      };
      if (size === 0xffffffff) size = take();
      if (stored === 0xffffffff) stored = take();
      if (localHeader === 0xffffffff) localHeader = take();
    }
    place += length;
  }
  if (stored !== size)
    throw damaged(file, `entry "${name}" of ${size} bytes is said to take ${stored} although it is not compressed`);
  return { name, size, crc32: view.getUint32(at + 16, true), localHeader, bytes };
}

/** The bytes of an entry follow its local header, whose name and extra field may differ in length from the directory's. */
async function locate(
  file: FilePieces,
  { name, size, crc32, localHeader }: DirectoryHeader,
  directoryStart: number,
): Promise<ZipEntry> {
  if (localHeader + 30 > directoryStart)
    throw damaged(file, `entry "${name}" should be at byte ${localHeader}, behind the data`);
  const local = viewOf(await file.read(localHeader, 30));
  if (local.getUint32(0, true) !== localSignature)
    throw damaged(file, `entry "${name}" is not at byte ${localHeader}, where the directory puts it`);
  const begin = localHeader + 30 + local.getUint16(26, true) + local.getUint16(28, true);
  if (begin + size > directoryStart)
    throw damaged(file, `entry "${name}" of ${size} bytes at ${begin} reaches behind the data: the file was cut off`);
  return { name, begin, size, crc32 };
}

function refuseOverlaps(file: FilePieces, entries: ZipEntry[]): void {
  entries.sort((a, b) => a.begin - b.begin || a.size - b.size);
  entries.forEach((entry, index) => {
    const before = entries[index - 1];
    if (before !== undefined && before.begin + before.size > entry.begin)
      throw damaged(file, `entries "${before.name}" and "${entry.name}" overlap`);
  });
}

function number64(file: FilePieces, view: DataView, at: number): number {
  const value = Number(view.getBigUint64(at, true));
  if (!Number.isSafeInteger(value)) throw damaged(file, `it announces ${value} bytes`);
  return value;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function damaged(file: FilePieces, what: string): Error {
  return badWeights(file.path, `not a whole PyTorch file: ${what}`);
}
