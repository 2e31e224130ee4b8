import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { cacheDirectory, readJson, shaderCacheDirectory, writeJson } from './cache.mjs';
import { hardware, lavapipe, swiftshader } from './candidates.mjs';
import { packagesMissing, SetupError } from './failure.mjs';
import { driverDescriptionFolders, gpuDevices } from './hardware.mjs';
import { libraryPath } from './libraries.mjs';
import { whyNotWritable, writableCacheHint } from './writable.mjs';

const run = promisify(execFile);

/** @typedef {import('./candidates.mjs').DriverKind} DriverKind */
/** @typedef {import('./candidates.mjs').Candidate} Candidate */
/** @typedef {import('./candidates.mjs').Context} Context */
/**
 * A Vulkan driver that WebGPU accepted on this machine: `description` is the adapter's name, `faster` how to get a faster one.
 * @typedef {Candidate & { description: string, why: string, faster?: string }} Driver
 */
/** @typedef {{ env?: NodeJS.ProcessEnv, report?: (line: string) => void, download?: boolean, again?: boolean }} Options */

/** In order of preference. @type {DriverKind[]} */
const kinds = ['gpu', 'lavapipe', 'swiftshader'];

/**
 * The best Vulkan driver of this machine, prepared. The first call may download a software driver into the cache (seconds); later ones
 * read the choice back and check that it still holds, in a few milliseconds.
 * @param {Options} options `report` is told what is being done; without `download` nothing is fetched or written; `again` chooses anew
 * @returns {Promise<Driver>}
 * @throws {SetupError} when the choice forced by REASONGEN_ADAPTER, or every choice, is impossible
 */
export async function prepareDriver({ env = process.env, report = () => {}, download = true, again = false } = {}) {
  const forced = forcedKind(env);
  const known = knownDriver(env);
  if (known && !again) return known;
  const cache = cacheDirectory(env);
  if (download) requireWritable(cache, env);
  const driver = await choose(forced ? [forced] : kinds, forced !== undefined, { env, cache, download, report });
  if (download) writeJson(join(cache, 'adapter.json'), { key: fingerprint(env, forced), driver });
  return driver;
}

/**
 * The driver chosen before, by the launch this process runs in or by an earlier one, while the choice still holds.
 * @param {NodeJS.ProcessEnv} env @returns {Driver | undefined}
 * @throws {SetupError} when REASONGEN_ADAPTER names no adapter
 */
export function knownDriver(env = process.env) {
  const forced = forcedKind(env);
  const inherited = inheritedDriver(env);
  if (inherited && (!forced || forced === inherited.kind)) return inherited;
  const known = readJson(join(cacheDirectory(env), 'adapter.json'));
  if (known?.key !== fingerprint(env, forced) || !isDriver(known.driver)) return undefined;
  const paths = [...known.driver.files, ...known.driver.folders];
  return paths.every((path) => existsSync(path)) ? known.driver : undefined;
}

/** Whether what was read is one: a file of the cache may hold anything. @param {any} value @returns {value is Driver} */
function isDriver(value) {
  const areTexts = (/** @type {unknown} */ list) =>
    Array.isArray(list) && list.every((item) => typeof item === 'string');
  return (
    kinds.includes(value?.kind) &&
    areTexts(value.files) &&
    areTexts(value.folders) &&
    [value.version, value.description, value.why].every((text) => typeof text === 'string')
  );
}

/** One line for the user: which driver, why, and how to get a faster one. @param {Driver} driver */
export function describeDriver({ kind, description, why, faster }) {
  const name = {
    gpu: 'GPU',
    lavapipe: 'lavapipe (Vulkan on the processor)',
    swiftshader: 'SwiftShader (Vulkan on the processor, slow)',
  }[kind];
  return `adapter: ${name}, ${description}; chosen because ${why}${faster ? `; for a faster one: ${faster}` : ''}`;
}

/**
 * The environment in which a new process finds the driver. REASONGEN_DRIVER carries the choice itself, for messages and nested launches.
 * @param {Driver} driver @param {NodeJS.ProcessEnv} env @returns {Record<string, string>} variables to set
 */
export function driverEnvironment(driver, env = process.env) {
  const shaders = shaderCacheDirectory(cacheDirectory(env), driver, env);
  if (!env.MESA_SHADER_CACHE_DIR) {
    try {
      mkdirSync(shaders, { recursive: true });
    } catch {
      // The driver compiles anew where it cannot keep anything.
    }
  }
  const folders = libraryPath(driver.folders, env);
  return {
    VK_DRIVER_FILES: driver.files.join(':'),
    VK_ICD_FILENAMES: driver.files.join(':'), // the same for loaders older than 1.3.207
    VK_LOADER_LAYERS_DISABLE: '~implicit~', // overlays and device selectors of a desktop
    ...(folders ? { LD_LIBRARY_PATH: folders } : {}),
    ...(env.MESA_SHADER_CACHE_DIR ? {} : { MESA_SHADER_CACHE_DIR: shaders }),
    REASONGEN_DRIVER: JSON.stringify(driver),
  };
}

/**
 * Asks WebGPU, in a child process, for the adapter of a driver.
 * @param {Candidate} candidate @param {NodeJS.ProcessEnv} env
 * @returns {Promise<{ vendor: string, architecture: string, device: string, description: string, halfPrecision: boolean, subgroups: boolean } | null>}
 */
async function probe(candidate, env) {
  const script = join(dirname(fileURLToPath(import.meta.url)), 'probe.mjs');
  const variables = driverEnvironment({ ...candidate, why: '', description: '' }, env);
  const { stdout } = await run(process.execPath, [script], { env: { ...env, ...variables }, timeout: 60_000 });
  return JSON.parse(stdout);
}

/** @param {DriverKind[]} order @param {boolean} forced @param {Context} context @returns {Promise<Driver>} */
async function choose(order, forced, context) {
  /** @type {SetupError[]} */
  const failures = [];
  for (const kind of order) {
    try {
      const candidate = await { gpu: hardware, lavapipe, swiftshader }[kind](context);
      const description = await accepted(candidate, context.env);
      const why = forced
        ? `REASONGEN_ADAPTER=${kind}`
        : failures.map((failure) => failure.message).join('; ') || 'a GPU is the fastest there is';
      if (kind === 'gpu') return { ...candidate, description, why };
      return {
        ...candidate,
        description,
        why,
        faster: failures.at(-1)?.hint ?? 'unset REASONGEN_ADAPTER, and the best one is taken',
      };
    } catch (error) {
      if (!(error instanceof SetupError)) throw error;
      if (forced)
        throw new SetupError({
          code: error.code,
          hint: error.hint,
          message: `REASONGEN_ADAPTER=${kind} is impossible here: ${error.message}`,
          cause: error,
        });
      failures.push(error);
    }
  }
  throw new SetupError({
    code: 'NO_ADAPTER',
    message: `no Vulkan driver works on this machine: ${failures.map((failure) => failure.message).join('; ')}`,
    hint: [...new Set(failures.map((failure) => failure.hint))].join('; or '),
  });
}

/** The name of the candidate's adapter, where WebGPU takes it and it is of the promised kind. @param {Candidate} candidate @param {NodeJS.ProcessEnv} env */
async function accepted(candidate, env) {
  let why = 'WebGPU offers no adapter with it';
  try {
    const adapter = await probe(candidate, env);
    const name = adapter && (adapter.description || `${adapter.vendor} ${adapter.architecture || adapter.device}`);
    const software = /llvmpipe|swiftshader/i.test(`${name} ${adapter?.device} ${adapter?.architecture}`);
    if (name && software === (candidate.kind !== 'gpu')) return name;
    if (name) why = `WebGPU offers ${name} with it`;
  } catch (error) {
    const {
      stderr = '',
      message,
      signal,
    } = /** @type {{ stderr?: string, message: string, signal?: string }} */ (error);
    if (/ERR_MODULE_NOT_FOUND/.test(stderr)) throw packagesMissing();
    why = signal
      ? `a trial with it ended by ${signal}`
      : (/^\w*Error.*$/m.exec(stderr)?.[0] ?? message.split('\n')[0] ?? message);
  }
  throw new SetupError({
    code: 'DRIVER_REFUSED',
    message: `the ${candidate.kind} driver (${candidate.files.map((file) => basename(file)).join(', ')}) does not work: ${why}`,
    hint:
      candidate.kind === 'gpu'
        ? 'update the GPU driver (NVIDIA 535 or newer, Mesa 24 or newer)'
        : `delete ${cacheDirectory(env)} and run npx reasongen setup`,
  });
}

/** Said before anything is fetched: a user of a container often has no home. @param {string} cache @param {NodeJS.ProcessEnv} env @throws {SetupError} */
function requireWritable(cache, env) {
  const reason = whyNotWritable(cache);
  if (reason === undefined) return;
  const home = !env.REASONGEN_CACHE && (!env.HOME || env.HOME === '/') ? '; HOME names no home directory' : '';
  throw new SetupError({
    code: 'CACHE_NOT_WRITABLE',
    message: `the cache for drivers and compiled shaders, ${cache}, cannot be written: ${reason}${home}`,
    hint: writableCacheHint,
  });
}

/** @param {NodeJS.ProcessEnv} env @returns {DriverKind | undefined} */
function forcedKind(env) {
  const wish = env.REASONGEN_ADAPTER;
  if (!wish) return undefined;
  const kind = kinds.find((name) => name === wish);
  if (kind) return kind;
  throw new SetupError({
    code: 'UNKNOWN_ADAPTER',
    message: `REASONGEN_ADAPTER=${wish} names no adapter`,
    hint: `set it to ${kinds.join(', ')}, or unset it`,
  });
}

/** @param {NodeJS.ProcessEnv} env @returns {Driver | undefined} */
function inheritedDriver(env) {
  if (!env.REASONGEN_DRIVER || !env.VK_DRIVER_FILES) return undefined;
  const driver = parsed(env.REASONGEN_DRIVER);
  return isDriver(driver) && driver.files.join(':') === env.VK_DRIVER_FILES ? driver : undefined;
}

/** @param {string} json @returns {unknown} undefined where it is none */
function parsed(json) {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

/** What the choice depends on: the wish, the system, its packages, its drivers and devices. @param {NodeJS.ProcessEnv} env */
export function fingerprint(env, forced = forcedKind(env)) {
  const changed = (/** @type {string} */ path) => (existsSync(path) ? statSync(path).mtimeMs : 0);
  const facts = [
    'format 1',
    forced ?? '',
    process.arch,
    env.LD_LIBRARY_PATH ?? '',
    existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '',
    changed('/var/lib/dpkg/status'),
    ...driverDescriptionFolders.map((folder) => changed(`/${folder}`)),
    ...gpuDevices().map(({ path, allowed }) => `${path} ${allowed}`),
  ];
  return createHash('sha256').update(JSON.stringify(facts)).digest('hex');
}
