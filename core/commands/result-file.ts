/** A file that a command line names as its result. */
import { dirname, resolve } from 'node:path';
import { diskError, replaceLoneFile } from '../io/disk.ts';
import { mkdir } from '../io/files.ts';

/** Writes it whole or not at all, with the folders it lies in. `doing`: `writing prompts`, for messages. */
export async function writeResult(file: string, content: string | Uint8Array, doing: string): Promise<void> {
  try {
    await makeFolderOf(file);
    await replaceLoneFile(resolve(file), content);
  } catch (cause) {
    throw diskError(cause, doing, file);
  }
}

/** For a result that grows line by line. */
export async function makeFolderOf(file: string): Promise<void> {
  await mkdir(dirname(resolve(file)), { recursive: true });
}
