import { existsSync } from 'node:fs';
import { readdir, realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import { exitCodes, ReasongenError } from '../errors.ts';
import { diskError } from '../io/disk.ts';
import { startWatching, type WatchOptions } from '../watch/server.ts';
import type { CommandContext } from './context.ts';
import { pageToken } from './page-token.ts';

export type WatchCommandOptions = Pick<WatchOptions, 'host' | 'port' | 'token' | 'control'>;

/** `watch [folder]`: serves the live page of all runs below a folder until it is ended. */
export async function watch(folder: string, options: WatchCommandOptions, context: CommandContext): Promise<number> {
  const { writeSecret, log, environment, closed } = context;
  if (!existsSync(folder)) {
    throw new ReasongenError({
      code: 'NO_RUNS',
      message: 'there is no such folder',
      place: resolve(folder),
      hint: '`reasongen run` makes runs/; name another folder: npx reasongen watch FOLDER',
      exitCode: exitCodes.badPreset,
    });
  }
  // Of a file, or a folder that may not be read, the page would be empty.
  await readdir(folder).catch((cause: unknown) => {
    throw diskError(cause, 'looking for runs', folder);
  });
  const told = pageToken(environment, options.token);
  const server = await startWatching({ ...options, ...told, folder: await realpath(folder) });
  // Whoever has read the address may end it at once.
  const ended = closed();
  writeSecret(`${server.address}\n`);
  const { isLoopback, control } = server.access;
  log.info(
    isLoopback
      ? `for this machine only; from another: ssh -L ${server.port}:localhost:${server.port} THIS_MACHINE, then the same address there`
      : 'whoever has this address may look: the token in it is the key, and nothing is encrypted on the way',
  );
  if (control) log.info('the buttons act for whoever opened the page by this address');
  await ended;
  await server.close();
  return exitCodes.done;
}
