import { open } from 'node:fs/promises';

/** The content of a file of any size. Each piece lies where the one before lay: what is to stay is copied. */
export async function* piecesOf(path: string, bytes = 2 ** 20): AsyncGenerator<Buffer> {
  const file = await open(path, 'r');
  try {
    const piece = Buffer.allocUnsafe(bytes);
    for (;;) {
      const { bytesRead } = await file.read(piece, 0, piece.length, null);
      if (bytesRead === 0) return;
      yield piece.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}
