import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';

export interface FileFingerprint {
  readonly bytes: number;
  /** Of the bytes that were to be written, in hexadecimal. */
  readonly sha256: string;
}

/** sha256 (hexadecimal) and size of a file, read in pieces of 4 MiB. */
export async function fingerprint(path: string): Promise<FileFingerprint> {
  const hash = createHash('sha256');
  const piece = Buffer.allocUnsafe(4 * 2 ** 20);
  const file = await open(path, 'r');
  try {
    for (let bytes = 0; ;) {
      const { bytesRead } = await file.read(piece, 0, piece.length, bytes);
      if (bytesRead === 0) return { bytes, sha256: hash.digest('hex') };
      hash.update(piece.subarray(0, bytesRead));
      bytes += bytesRead;
    }
  } finally {
    await file.close();
  }
}
