#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot, readJson } from './cache.mjs';
import { exitWith, isMain, SetupError } from './failure.mjs';
import { launch } from './launch.mjs';
import { describeDriver, knownDriver, prepareDriver } from './vulkan.mjs';

/** The oldest Node this program runs on. */
const oldestNode = [20, 19];

/**
 * Makes this checkout ready to run: Node's version, npm packages, a Vulkan driver. Does only what is still to do.
 * @param {{ env?: NodeJS.ProcessEnv, driver?: boolean }} options without `driver`, only what needs no device
 * @throws {SetupError} naming what is missing and how to get it
 */
export async function setup({ env = process.env, driver = true } = {}) {
  const started = performance.now();
  const say = (/** @type {string} */ line) =>
    void process.stderr.write(`[${((performance.now() - started) / 1000).toFixed(1).padStart(5)} s] ${line}\n`);
  checkNode(process.versions.node);
  const stale = outdatedPackages(packageRoot);
  if (stale) {
    say(`packages: npm install (${stale})`);
    await installPackages(env);
    say('packages: installed');
  } else say('packages: up to date');
  if (!driver) return;
  // A slow substitute may have been taken while the network was away: look for a better one, unless it was asked for.
  const again = !env.REASONGEN_ADAPTER && knownDriver(env)?.kind === 'swiftshader';
  say(describeDriver(await prepareDriver({ env, report: say, again })));
}

/** @param {string} version of Node, for example `20.19.1` @throws {SetupError} when it is too old */
export function checkNode(version) {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [oldestMajor = 0, oldestMinor = 0] = oldestNode;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return;
  throw new SetupError({
    code: 'OLD_NODE',
    message: `Node ${version} is too old, ${oldestNode.join('.')} or newer is needed`,
    hint: 'install a newer Node: https://nodejs.org/en/download, or `nvm install 22`',
  });
}

/**
 * Why the installed packages differ from the lock file, or '' when they do not. A package without a lock file (installed as a
 * dependency of another) is left to its owner. Optional packages may be absent: they are for other platforms.
 * @param {string} root
 */
export function outdatedPackages(root) {
  const lockFile = join(root, 'package-lock.json');
  if (!existsSync(lockFile)) return '';
  const installed = readJson(join(root, 'node_modules', '.package-lock.json'))?.packages;
  if (!installed) return 'none are installed';
  const wanted = readJson(lockFile)?.packages;
  if (!wanted)
    throw new SetupError({
      code: 'BAD_LOCK_FILE',
      message: `${lockFile} is not a lock file of npm`,
      hint: 'git checkout package-lock.json',
    });
  for (const [path, entry] of Object.entries(wanted)) {
    const present = installed[path];
    if (path === '' || entry.link || (!present && (entry.optional || entry.devOptional || entry.peer))) continue;
    if (!present || !existsSync(join(root, path))) return `${path.replace('node_modules/', '')} is missing`;
    if (present.version !== entry.version)
      return `${path.replace('node_modules/', '')} is ${present.version}, wanted ${entry.version}`;
  }
  return '';
}

/**
 * `npm install` keeps to the lock file as `npm ci` does, but takes what is installed already, and does not refuse a lock file that was
 * written on one platform and lists no optional packages of the others. `--no-save` leaves the lock file as it is.
 * @param {NodeJS.ProcessEnv} env
 */
async function installPackages(env) {
  const code = await launch('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: packageRoot,
    env,
  });
  if (code === 0) return;
  throw new SetupError({
    code: 'PACKAGES_FAILED',
    message: `npm install failed with exit code ${code}`,
    hint: 'see the lines above; check the network and `npm config get registry`, then run it again',
  });
}

if (isMain(import.meta.url))
  await exitWith(async () => {
    await setup();
    return 0;
  });
