import { open, type FileHandle } from 'node:fs/promises';
import { diskError } from '../disk.ts';
import { badWeights } from './errors.ts';

/** One call of `WeightSource.read` gives at most so many bytes. */
export const largestRead = 256 * 2 ** 20;

/** A file read in pieces at positions, never as a whole. */
export class FilePieces {
  readonly path: string;
  readonly size: number;
  private readonly handle: FileHandle;

  private constructor(path: string, size: number, handle: FileHandle) {
    this.path = path;
    this.size = size;
    this.handle = handle;
  }

  static async open(path: string): Promise<FilePieces> {
    let handle: FileHandle | undefined;
    try {
      handle = await open(path, 'r');
      const status = await handle.stat();
      if (!status.isFile())
        throw badWeights(path, 'this is not a file', 'point to a file of weights, or to the folder of a model');
      return new FilePieces(path, status.size, handle);
    } catch (cause) {
      await handle?.close();
      throw diskError(cause, 'opening a file of weights', path);
    }
  }

  /** A copy of bytes [begin, begin + length), in a buffer of its own. */
  async read(begin: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    try {
      for (let done = 0; done < length;) {
        const { bytesRead } = await this.handle.read(bytes, done, Math.min(length - done, 2 ** 30), begin + done);
        if (bytesRead === 0) throw badWeights(this.path, 'the file became shorter while it was read');
        done += bytesRead;
      }
    } catch (cause) {
      throw diskError(cause, 'reading weights', this.path);
    }
    return bytes;
  }

  async close(): Promise<void> {
    await this.handle.close();
  }
}
