/** The packages that the executor takes, as they are installed for this plugin or in the folder in which the program is run. */
import type * as Bullmq from 'bullmq';
import type * as Ioredis from 'ioredis';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { exitCodes, findPackage, oneLine, reasonOf, ReasongenError } from '../../core/plugin.ts';
import { bullmqPackages } from './package.ts';

export type { Job, Queue, QueueEvents, Worker } from 'bullmq';
export type { Redis } from 'ioredis';

export interface QueueLibrary {
  readonly bullmq: typeof Bullmq;
  readonly ioredis: typeof Ioredis;
}

/** Where they are. Throws BULLMQ_MISSING where one is not in reach; loads nothing. */
export function findQueueLibrary(
  places: readonly string[] = [fileURLToPath(import.meta.url)],
): Readonly<Record<'bullmq' | 'ioredis', string>> {
  const fileOf = (name: string): string => {
    const found = findPackage(name, places);
    if (found === undefined) throw missing(`the package ${name}, which the executor bullmq needs, is not installed`);
    return found.file;
  };
  return { bullmq: fileOf('bullmq'), ioredis: fileOf('ioredis') };
}

export async function loadQueueLibrary(files: ReturnType<typeof findQueueLibrary>): Promise<QueueLibrary> {
  try {
    const load = (file: string): Promise<unknown> => import(pathToFileURL(file).href);
    return {
      bullmq: (await load(files.bullmq)) as typeof Bullmq,
      ioredis: (await load(files.ioredis)) as typeof Ioredis,
    };
  } catch (cause) {
    throw missing(`a package of the executor bullmq cannot be loaded: ${oneLine(reasonOf(cause), 300)}`, cause);
  }
}

function missing(message: string, cause?: unknown): ReasongenError {
  return new ReasongenError({
    code: 'BULLMQ_MISSING',
    message,
    hint: bullmqPackages[0]?.install,
    exitCode: exitCodes.badPreset,
    cause,
  });
}
