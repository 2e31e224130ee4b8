import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, resolve, sep } from 'node:path';

const blockSize = 512;

/**
 * Writes the regular files of a POSIX tar archive below a folder. Long names in `prefix` are joined; links and devices are skipped.
 * @param {Buffer} archive @param {string} folder
 * @throws {Error} when a checksum is wrong, the archive is cut short, or a name leads out of the folder
 */
export function extractTar(archive, folder) {
  const target = resolve(folder);
  for (let offset = 0; offset + blockSize <= archive.length;) {
    const header = archive.subarray(offset, offset + blockSize);
    if (header.every((byte) => byte === 0)) return;
    if (checksum(header) !== octal(header, 148, 8))
      throw new Error(`damaged tar archive: bad checksum at byte ${offset}`);
    const prefix = text(header, 345, 155);
    const name = prefix ? `${prefix}/${text(header, 0, 100)}` : text(header, 0, 100);
    const size = octal(header, 124, 12);
    const kind = String.fromCharCode(header[156] ?? 0);
    const start = offset + blockSize;
    if (start + size > archive.length) throw new Error(`damaged tar archive: ${name} is cut short`);
    if (kind === '0' || kind === '\0') {
      const path = resolve(target, name);
      if (!path.startsWith(target + sep)) throw new Error(`tar archive names a file outside its folder: ${name}`);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, archive.subarray(start, start + size), { mode: octal(header, 100, 8) | 0o400 });
    }
    offset = start + Math.ceil(size / blockSize) * blockSize;
  }
}

/** @param {Buffer} header @param {number} start @param {number} length */
function text(header, start, length) {
  const field = header.subarray(start, start + length);
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end < 0 ? length : end);
}

/** @param {Buffer} header @param {number} start @param {number} length */
function octal(header, start, length) {
  return Number.parseInt(text(header, start, length).trim() || '0', 8);
}

/** The sum of the header's bytes, its own field counted as spaces. @param {Buffer} header */
function checksum(header) {
  let sum = 0;
  for (const [index, byte] of header.entries()) sum += index >= 148 && index < 156 ? 32 : byte;
  return sum;
}
