import { SetupError } from './failure.mjs';
import { describeDriver, driverEnvironment, knownDriver, prepareDriver } from './vulkan.mjs';

/** By which users choose among drivers, devices and layers of Vulkan. */
const vulkanVariable =
  /^(VK_(LOADER_|DRIVER_FILES|ICD_FILENAMES|ADD_DRIVER_FILES|INSTANCE_LAYERS)|MESA_VK_|DRI_PRIME$)/;

/**
 * The variables a command on the device needs. What is known about the driver goes along in REASONGEN_DRIVER, or in REASONGEN_DRIVER_ERROR,
 * or REASONGEN_NO_DRIVER=1 says that none is ready.
 * @param {string} command @param {NodeJS.ProcessEnv} env @param {boolean} quiet leaves out the line that names the driver
 * @returns {Promise<Record<string, string>>}
 * @throws {SetupError} when a command computes and no driver can be had
 */
export async function environmentFor(command, env, quiet) {
  if (command === 'check') {
    const known = knownDriver(env);
    return known ? driverEnvironment(known, env) : { REASONGEN_NO_DRIVER: '1' };
  }
  if (command === 'doctor') {
    const set = Object.entries(env).filter(([name, value]) => value && vulkanVariable.test(name));
    const own = env.REASONGEN_DRIVER ? {} : { REASONGEN_VULKAN_VARIABLES: JSON.stringify(Object.fromEntries(set)) };
    try {
      return { ...own, ...driverEnvironment(await prepareDriver({ env, download: false }), env) };
    } catch (error) {
      if (!(error instanceof SetupError)) throw error;
      return {
        ...own,
        REASONGEN_DRIVER_ERROR: JSON.stringify({ code: error.code, message: error.message, hint: error.hint }),
      };
    }
  }
  const say = (/** @type {string} */ line) => void process.stderr.write(`${line}\n`);
  const driver = await prepareDriver({ env, report: say });
  if (!quiet) say(describeDriver(driver));
  return driverEnvironment(driver, env);
}
