import { execFile, execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { renameUnlessThere, withTemporaryFolder } from './cache.mjs';
import { driverSources, formatSources, systemSources } from './apt-sources.mjs';
import { compareDebianVersions, majorVersion } from './debian-version.mjs';
import { SetupError } from './failure.mjs';
import { findFiles, missingLibraries } from './libraries.mjs';

const run = promisify(execFile);

/** Dawn refuses the lavapipe of older Mesa releases. */
export const oldestMesa = 24;

/** Packages that must be the system's own (one C library per process), or that hold only data. */
const neverUnpacked = /^(libc6|gcc-\d+-base|libgcc-s1|libstdc\+\+6|libcrypt1|libx11-data|libdrm-common|debconf)$/;

/**
 * Fetches packages with their missing dependencies through the system's package manager and unpacks them into a folder of ours. Nothing
 * of the system changes: lists, sources, state and archives are private and temporary, and root is not needed.
 * @param {{ packages: string[], destination: (version: string) => string, minimumMajor?: number, report?: (line: string) => void }} request
 *   `packages[0]` gives the version; with `minimumMajor`, the distribution's backports are asked when its own archive is older
 * @returns {Promise<{ folder: string, version: string }>}
 * @throws {SetupError} when there is no apt, no network, or no version that is new enough
 */
export async function unpackThroughApt({ packages, destination, minimumMajor = 0, report = () => {} }) {
  const codename = systemCodename();
  if (!codename || !existsSync('/usr/bin/apt-get') || !existsSync('/usr/bin/dpkg-deb'))
    throw aptFailure('this is not a Debian or Ubuntu system with apt', undefined);
  const work = join(tmpdir(), `reasongen-apt-${process.pid}-${randomUUID()}`);
  return withTemporaryFolder(work, async () => {
    const apt = new PrivateApt(work);
    const [wanted = ''] = packages;
    const suites = await apt.updateWhatExists(systemSources(), codename, report);
    for (const release of [codename, `${codename}-backports`]) {
      const version = await apt.candidate(wanted, release);
      if (!version || majorVersion(version) < minimumMajor) continue;
      const folder = destination(version.replaceAll(/[^A-Za-z0-9.+-]/g, '_'));
      if (!existsSync(folder)) await unpack(await apt.download(packages, release, report), folder);
      return { folder, version };
    }
    throw aptFailure(
      `no ${wanted} of version ${minimumMajor} or newer in ${suites} (or the archive cannot be reached)`,
      undefined,
    );
  }).catch((error) => {
    throw error instanceof SetupError ? error : aptFailure(firstLine(error), error);
  });
}

/**
 * Fetches packages of another Debian release with all they depend on, the C library too, and unpacks them into a folder that is a root of its
 * own: programs run in it through its loader. Nothing of the system changes.
 * @param {{ packages: string[], codename: string, destination: (version: string) => string, report?: (line: string) => void }} request
 *   `codename` of the release whose backports `packages[0]` comes from
 * @returns {Promise<string>} the folder
 * @throws {SetupError} when this is no Debian with apt, or the archive cannot be reached or lacks a package
 */
export async function unpackRoot({ packages, codename, destination, report = () => {} }) {
  const own = systemCodename();
  const sources = systemSources()
    .filter(({ suite }) => suite === own)
    .flatMap((source) => [codename, `${codename}-backports`].map((suite) => ({ ...source, suite })));
  if (sources.length === 0 || !existsSync('/usr/bin/apt-get') || !existsSync('/usr/bin/dpkg-deb'))
    throw aptFailure('this is no Debian system with apt', undefined);
  const work = join(tmpdir(), `reasongen-apt-${process.pid}-${randomUUID()}`);
  return withTemporaryFolder(work, async () => {
    const apt = new PrivateApt(work);
    report(`reading the package lists of ${suiteNames(sources)}`);
    await apt.update(sources);
    const release = `${codename}-backports`;
    const version = await apt.candidate(packages[0] ?? '', release);
    if (!version) throw aptFailure(`no ${packages[0]} in ${release} (or the archive cannot be reached)`, undefined);
    const folder = destination(version.replaceAll(/[^A-Za-z0-9.+-]/g, '_'));
    if (!existsSync(folder)) await unpack(await apt.download(packages, release, report, true), folder, true);
    return folder;
  }).catch((error) => {
    throw error instanceof SetupError ? error : aptFailure(firstLine(error), error);
  });
}

/** apt with lists, sources, state and archives of its own. */
class PrivateApt {
  /** @param {string} work an empty folder that others may enter (apt downloads as an unprivileged user) */
  constructor(work) {
    this.work = work;
    chmodSync(work, 0o755);
    for (const name of ['lists/partial', 'cache/archives/partial', 'parts', 'debs'])
      mkdirSync(join(work, name), { recursive: true });
    if (process.getuid?.() === 0)
      for (const name of ['debs', 'lists/partial', 'cache/archives/partial']) chmodSync(join(work, name), 0o777);
    writeFileSync(join(work, 'status'), '');
    writeFileSync(join(work, 'none.list'), '');
    this.options = [
      `Dir::State::Lists=${work}/lists`,
      `Dir::State::status=${work}/status`,
      `Dir::State::extended_states=${work}/extended_states`,
      `Dir::Cache=${work}/cache`,
      `Dir::Etc::sourcelist=${work}/none.list`,
      `Dir::Etc::sourceparts=${work}/parts`,
      `Dir::Etc::preferencesparts=${work}/none`,
      'Debug::NoLocking=1',
      'Acquire::Languages=none',
      'Acquire::Retries=2',
      'Acquire::http::Timeout=20',
      'Acquire::https::Timeout=20',
    ].flatMap((option) => ['-o', option]);
  }

  /** @param {string} command @param {string[]} args */
  async call(command, args) {
    const { stdout } = await run(command, [...this.options, ...args], {
      cwd: join(this.work, 'debs'),
      env: { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
      maxBuffer: 64 << 20,
    });
    return stdout;
  }

  /**
   * Reads the lists of the distribution and of its backports; of the distribution alone, where it has no backports.
   * @param {import('./apt-sources.mjs').AptSource[]} sources of the system @param {string} codename @param {(line: string) => void} report
   * @returns {Promise<string>} the names of the suites
   */
  async updateWhatExists(sources, codename, report) {
    const withBackports = driverSources(sources, codename, true);
    if (withBackports.length === 0)
      throw aptFailure(`the system's apt sources name no archive of ${codename}`, undefined);
    report(`reading the package lists of ${suiteNames(withBackports)}`);
    try {
      await this.update(withBackports);
      return suiteNames(withBackports);
    } catch {
      const plain = driverSources(sources, codename, false);
      report(`reading the package lists of ${suiteNames(plain)} alone`);
      await this.update(plain);
      return suiteNames(plain);
    }
  }

  /** @param {import('./apt-sources.mjs').AptSource[]} sources */
  async update(sources) {
    writeFileSync(join(this.work, 'parts', 'driver.sources'), formatSources(sources));
    await this.call('apt-get', ['update', '-q']);
  }

  /** The newest version of a package in a suite (or its updates). @param {string} name @param {string} release */
  async candidate(name, release) {
    const table = await this.call('apt-cache', ['madison', name]);
    const versions = table.split('\n').flatMap((line) => {
      const [, version = '', origin = ''] = line.split('|').map((field) => field.trim());
      const suite = origin.split(' ')[1]?.split('/')[0]; // `<uri> <suite>/<component> <architecture> Packages`
      return suite === release || suite === `${release}-updates` ? [version] : [];
    });
    return versions.sort(compareDebianVersions).at(-1);
  }

  /**
   * @param {string[]} packages @param {string} release @param {(line: string) => void} report
   * @param {boolean} isWhole whether what the system has is fetched as well @returns {Promise<string[]>} paths of .deb files
   */
  async download(packages, release, report, isWhole = false) {
    const plan = await this.call('apt-get', ['-s', 'install', '--no-install-recommends', '-t', release, ...packages]);
    const wanted = parseInstallPlan(plan).filter(({ name }) => isWhole || !neverUnpacked.test(name));
    const installed = isWhole ? new Map() : installedVersions(wanted.map(({ name }) => name));
    const missing = wanted.filter(({ name, version }) => {
      const present = installed.get(name);
      return packages.includes(name) || present === undefined || compareDebianVersions(present, version) < 0;
    });
    report(`downloading ${missing.length} packages`);
    await this.call('apt-get', ['download', '-q', ...missing.map(({ name, version }) => `${name}=${version}`)]);
    const folder = join(this.work, 'debs');
    return readdirSync(folder)
      .filter((name) => name.endsWith('.deb'))
      .map((name) => join(folder, name));
  }
}

/** @param {import('./apt-sources.mjs').AptSource[]} sources */
function suiteNames(sources) {
  return [...new Set(sources.map((source) => source.suite))].join(', ');
}

/**
 * The packages of `apt-get -s install`: lines `Inst name [old] (version origin [arch])`.
 * @param {string} plan
 */
export function parseInstallPlan(plan) {
  return [...plan.matchAll(/^Inst (\S+) (?:\[[^\]]*\] )?\((\S+) /gm)].map(([, name = '', version = '']) => ({
    name,
    version,
  }));
}

/**
 * Versions of the named packages that are installed on this system.
 * @param {string[]} names
 */
export function installedVersions(names) {
  let listing = '';
  try {
    listing = execFileSync(
      'dpkg-query',
      ['-W', '-f', '${db:Status-Abbrev}\t${binary:Package}\t${Version}\n', ...names],
      {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      },
    );
  } catch (error) {
    // dpkg-query exits 1 when any name is not installed, and still lists the others.
    listing = /** @type {{ stdout?: string }} */ (error).stdout ?? '';
  }
  /** @type {Map<string, string>} */
  const versions = new Map();
  for (const line of listing.split('\n')) {
    const [status = '', name = '', version = ''] = line.split('\t');
    if (status.startsWith('ii')) versions.set(name.replace(/:.*$/, ''), version);
  }
  return versions;
}

/**
 * @param {string[]} files @param {string} folder filled under a temporary name and renamed: it exists only when complete
 * @param {boolean} isRoot whether its libraries belong to a C library of its own, of which the system's `ldd` knows nothing
 */
async function unpack(files, folder, isRoot = false) {
  await withTemporaryFolder(`${folder}.${process.pid}.tmp`, async (temporary) => {
    for (const file of files) await run('dpkg-deb', ['-x', file, temporary]);
    const unresolved = isRoot ? [] : missingLibraries(temporary);
    if (unresolved.length > 0) throw aptFailure(`the unpacked driver lacks ${unresolved.join(', ')}`, undefined);
    renameUnlessThere(temporary, folder);
  });
}

/** Description files of drivers for 32-bit programs, which some distributions install beside the others. */
export const foreignDescription = /\.(i[3-6]86|x86|armv7\w*|armhf)\.json$/;

/**
 * The lavapipe description file under a root, if any (`lvp_icd.x86_64.json`, or `lvp_icd.json` in newer releases).
 * @param {string} root
 */
export function findLavapipe(root = '/') {
  return ['usr/share/vulkan/icd.d', 'usr/local/share/vulkan/icd.d', 'etc/vulkan/icd.d']
    .flatMap((folder) => findFiles(join(root, folder), /^lvp_icd.*\.json$/))
    .find((path) => !foreignDescription.test(path));
}

/** VERSION_CODENAME of os-release, or ''. */
export function systemCodename(root = '/') {
  const path = join(root, 'etc/os-release');
  if (!existsSync(path)) return '';
  return /^VERSION_CODENAME="?([\w-]+)"?$/m.exec(readFileSync(path, 'utf8'))?.[1] ?? '';
}

/** @param {string} why @param {unknown} cause */
function aptFailure(why, cause) {
  return new SetupError({
    code: 'LAVAPIPE_UNAVAILABLE',
    message: `Mesa's software Vulkan driver could not be fetched: ${why}`,
    hint: `install Mesa ${oldestMesa} or newer (Debian, Ubuntu: package mesa-vulkan-drivers; Fedora: mesa-vulkan-drivers; Arch: vulkan-swrast)`,
    cause,
  });
}

/** @param {unknown} error */
function firstLine(error) {
  const { stderr, message } = /** @type {{ stderr?: string, message?: string }} */ (error);
  return (stderr?.split('\n').find((line) => line.startsWith('E:')) ?? message ?? String(error)).split('\n')[0] ?? '';
}
