/** The Vulkan driver for a program that embeds reasongen. The command line starts a child process in the driver's environment instead. */
import { ReasongenError } from './errors.ts';
import { SetupError } from './setup/failure.mjs';
import { adoptDriver } from './setup/this-process.mjs';
import { describeDriver, prepareDriver as chooseDriver } from './setup/vulkan.mjs';

export interface DriverOptions {
  /** Told in words what is being done; nothing is said unless given. */
  readonly report?: (line: string) => void;
  /** Fetch a software driver into the cache where the machine has no other; true unless told. */
  readonly download?: boolean;
  /** Choose anew, although an earlier choice still holds. */
  readonly again?: boolean;
}

/**
 * Makes the best Vulkan driver of this machine the one of this process, as the command line does: a GPU, else lavapipe, else SwiftShader, or
 * what REASONGEN_ADAPTER names. Call it once, before anything opens a device. Returns which it is and why, in a line.
 * @throws {ReasongenError} NO_ADAPTER and others with exit code 3: no driver can be had
 */
export async function prepareDriver(options: DriverOptions = {}): Promise<string> {
  try {
    const driver = await chooseDriver(options);
    adoptDriver(driver);
    return describeDriver(driver);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    const { code, message, hint, exitCode } = error;
    throw new ReasongenError({ code, message, hint, exitCode, cause: error });
  }
}
