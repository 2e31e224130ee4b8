import { exitCodes, ReasongenError } from '../errors.ts';
import { SetupError } from '../setup/failure.mjs';
import { describeDriver, prepareDriver } from '../setup/vulkan.mjs';
import type { CommandContext } from './context.ts';

/** `setup`: chooses the best Vulkan driver anew, and fetches one where the system has none. */
export async function setup({ log, write, environment }: CommandContext): Promise<number> {
  try {
    const driver = await prepareDriver({ env: { ...environment }, report: log.info, again: true });
    write(`${describeDriver(driver)}\n`);
    return exitCodes.done;
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    const { code, message, hint, exitCode } = error;
    throw new ReasongenError({ code, message, hint, exitCode, cause: error });
  }
}
