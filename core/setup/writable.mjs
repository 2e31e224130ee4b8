import { accessSync, constants, existsSync, statfsSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { SetupError } from './failure.mjs';

/** procfs, sysfs and cgroups, as statfs(2) tells them. */
const notOfFiles = new Set([0x9fa0, 0x62656572, 0x63677270]);

/**
 * Why a folder cannot be written, or made; undefined where it can be. Nothing is made: the nearest folder that is there is asked.
 * @param {string} folder @returns {string | undefined}
 */
export function whyNotWritable(folder) {
  try {
    let there = resolve(folder);
    while (!existsSync(there)) there = dirname(there);
    if (!statSync(there).isDirectory()) return `${there} is no folder`;
    accessSync(there, constants.W_OK | constants.X_OK);
    // The system's own view of itself, which says yes to root and then takes no file: Node tries to make a folder there for ever.
    if (process.platform === 'linux' && notOfFiles.has(statfsSync(there).type)) return `${there} is no place for files`;
    return undefined;
  } catch (error) {
    return /** @type {Error} */ (error).message;
  }
}

export const writableCacheHint = 'set REASONGEN_CACHE to a folder that may be written: REASONGEN_CACHE=/tmp/reasongen';

/** Options that name the folder of the results, by command; without them it is one in `runs`. */
const resultOptions = /** @type {Readonly<Record<string, readonly string[]>>} */ ({
  run: ['--run-dir'],
  evaluate: ['--run-dir'],
  generate: ['--out', '--run-dir'],
  ask: ['--out', '--run-dir'],
});

/**
 * Refuses results that cannot be written: before a driver is fetched, and long before they are there.
 * @param {string} command @param {string[]} args @throws {SetupError}
 */
export function requireResultFolder(command, args) {
  const options = resultOptions[command];
  if (options === undefined) return;
  const folder = options.map((option) => valueOf(option, args)).find((value) => value) ?? 'runs';
  const reason = whyNotWritable(folder);
  if (reason === undefined) return;
  throw new SetupError({
    code: 'RESULTS_NOT_WRITABLE',
    message: `the results would lie in ${resolve(folder)}, which cannot be written: ${reason}`,
    hint: `name a folder that may be written: ${options[0]} ${join('/tmp', 'my-run')}`,
    exitCode: 6,
  });
}

/** Of the last that is given. @param {string} option @param {string[]} args @returns {string | undefined} */
function valueOf(option, args) {
  const at = args.findLastIndex((arg) => arg === option || arg.startsWith(`${option}=`));
  return args[at] === option ? args[at + 1] : args[at]?.slice(option.length + 1);
}
