import { createHash } from 'node:crypto';
import { piecesOf } from './pieces.ts';

export interface FileFingerprint {
  readonly bytes: number;
  /** Of the bytes that were to be written, in hexadecimal. */
  readonly sha256: string;
}

/** sha256 (hexadecimal) and size of a file, read in pieces of 4 MiB. */
export async function fingerprint(path: string): Promise<FileFingerprint> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const piece of piecesOf(path, 4 * 2 ** 20)) {
    hash.update(piece);
    bytes += piece.length;
  }
  return { bytes, sha256: hash.digest('hex') };
}
