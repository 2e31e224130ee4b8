import { prepareDriver } from '../driver.ts';
import { exitCodes } from '../errors.ts';
import type { CommandContext } from './context.ts';

/** `setup`: chooses the best Vulkan driver anew, and fetches one where the system has none. */
export async function setup({ log, write }: CommandContext): Promise<number> {
  write(`${await prepareDriver({ report: (text: string) => log.info(text), again: true })}\n`);
  return exitCodes.done;
}
