import { join } from 'node:path';
import { packageRoot } from './cache.mjs';
import { SetupError } from './failure.mjs';
import { launch } from './launch.mjs';
import { describeDriver, driverEnvironment, knownDriver, packagesMissing, prepareDriver } from './vulkan.mjs';

/** Commands that compute nothing: they take a driver that is ready, and never prepare one. */
const withoutDevice = ['check', 'show', 'describe', 'report', 'help'];

/**
 * Runs the program with the arguments of its command line, in the environment of the best Vulkan driver.
 * What is known about the driver goes along in REASONGEN_DRIVER, or in REASONGEN_DRIVER_ERROR, or REASONGEN_NO_DRIVER=1 says that none was looked for.
 * @param {string[]} args @param {{ env?: NodeJS.ProcessEnv, quiet?: boolean }} options
 * @returns {Promise<number>} the exit code
 * @throws {SetupError} when packages are missing or no driver can be had
 */
export async function reasongen(args, { env = process.env, quiet = env.REASONGEN_QUIET === '1' } = {}) {
  const variables = await environmentFor(args, env, quiet);
  const program = [
    '--import',
    loader(),
    '--import',
    new URL('terminal.mjs', import.meta.url).href,
    join(packageRoot, 'core', 'cli.ts'),
    ...args,
  ];
  return launch(process.execPath, program, {
    env: { ...env, TSX_TSCONFIG_PATH: join(packageRoot, 'tsconfig.json'), ...variables },
  });
}

/**
 * The variables a command needs: a driver is prepared only for a command that computes.
 * @param {string[]} args @param {NodeJS.ProcessEnv} env @param {boolean} quiet @returns {Promise<Record<string, string>>}
 */
export async function environmentFor(args, env, quiet) {
  const say = (/** @type {string} */ line) => void process.stderr.write(`${line}\n`);
  const command = args.find((arg) => !arg.startsWith('-'));
  const onlyTells = args.some((arg) => ['--help', '-h', '--version', '-V'].includes(arg));
  if (command === undefined || onlyTells || withoutDevice.includes(command)) {
    const known = onlyTells ? undefined : knownDriver(env);
    return known ? driverEnvironment(known, env) : { REASONGEN_NO_DRIVER: '1' };
  }
  if (command === 'doctor') {
    try {
      return driverEnvironment(await prepareDriver({ env, download: false }), env);
    } catch (error) {
      if (!(error instanceof SetupError)) throw error;
      return { REASONGEN_DRIVER_ERROR: JSON.stringify({ code: error.code, message: error.message, hint: error.hint }) };
    }
  }
  const driver = await prepareDriver({ env, report: say });
  if (!quiet) say(describeDriver(driver));
  return driverEnvironment(driver, env);
}

/** The module that lets node load TypeScript. @throws {SetupError} when packages are missing */
function loader() {
  try {
    return import.meta.resolve('tsx');
  } catch {
    throw packagesMissing();
  }
}
