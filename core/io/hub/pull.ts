/** A model from a hub into the cache that other programs share. */
import { existsSync } from 'node:fs';
import { lstat, readdir, readFile, readlink, statfs } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { exitCodes, ReasongenError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { diskError, hasCode, replaceLoneFile } from '../disk.ts';
import { takeLock } from '../lock.ts';
import { isCommit, modelFolder, type HubModel } from './cache.ts';
import { HubClient, type HubFile, type HubOptions } from './client.ts';
import { download, hasContent } from './download.ts';
import { noteFiles, openVerified, type Verified } from './pulled.ts';
import { persistently, type Persistence } from './persistence.ts';
import { copyFile, mkdir, rm, symlink } from '../files.ts';

export interface PullOptions extends HubOptions {
  readonly cache: string;
  /** Globs (`*` within or across folders, `?`); what a model needs when empty. */
  readonly include: readonly string[];
  readonly log: Log;
  /** Seconds before a first further try. */
  readonly pause?: number;
}

/** Returns the folder of the snapshot. What is there already is not fetched again. */
export async function pullModel(model: HubModel, options: PullOptions): Promise<string> {
  const { cache, include, log } = options;
  const client = new HubClient({ say: (message) => log.info(message), ...options });
  const persistence: Persistence = { warn: (message) => log.warn(message), pause: options.pause };
  const { commit, files } = await persistently(
    `the list of files of ${model.id}`,
    () => client.list(model),
    persistence,
  );
  const chosen = chooseFiles(files, include);
  if (chosen.length === 0) {
    throw new ReasongenError({
      code: 'HUB_NO_FILES',
      message: `${model.id} has no file that ${include.length === 0 ? 'a model is made of' : `fits ${include.join(', ')}`}`,
      hint: `its files are: ${someOf(files)}`,
      exitCode: exitCodes.disk,
    });
  }
  if (include.length === 0) refuseWeightless(model.id, files, chosen);
  const folder = modelFolder(cache, model);
  const blobs = join(folder, 'blobs');
  const snapshot = join(folder, 'snapshots', commit);
  await makeFolder(blobs);
  await makeFolder(snapshot);
  const lock = await takeLock(join(folder, '.reasongen-pull'), 'this model');
  try {
    const verified = await openVerified(folder);
    await refuseFullDisk(chosen, blobs);
    const bytes = chosen.reduce((sum, { size }) => sum + size, 0);
    const bar = log.progress(model.id, Math.ceil(bytes / 1e6), { unit: 'megabyte' });
    let done = 0;
    const progress = (count: number): void => {
      const before = Math.ceil(done / 1e6);
      done += count;
      bar.advance(Math.ceil(done / 1e6) - before);
    };
    try {
      for (const file of chosen) {
        const path = join(snapshot, ...file.path.split('/'));
        const blob = join(blobs, file.hash.hex);
        if (await isCopy(file, path, verified)) {
          progress(file.size);
          continue;
        }
        if (await isWhole(file, blob, verified, log)) progress(file.size);
        else await download(file, blob, { client, model, commit, progress, ...persistence });
        await verified.note(blob);
        await link(blob, path);
      }
    } finally {
      bar.end();
      await verified.save();
    }
    await noteFiles(folder, commit, chosen);
    await sweepParts(blobs, files, log);
    if (!isCommit(model.revision)) await noteRevision(folder, model.revision, commit);
  } finally {
    lock.release();
  }
  return snapshot;
}

/** Configuration, tokenizer and weights; weights in the format that cannot hold code where there is a choice. */
function chooseFiles(files: readonly HubFile[], include: readonly string[]): readonly HubFile[] {
  if (include.length > 0) {
    const patterns = include.map(globExpression);
    return files.filter(({ path }) => patterns.some((pattern) => pattern.test(path)));
  }
  const isSmall = /\.(json|txt|model|jinja)$/;
  const hasSafetensors = files.some(({ path }) => /^[^/]+\.safetensors$/.test(path));
  const weights = hasSafetensors ? /\.safetensors$/ : torchFile;
  return files.filter(({ path }) => {
    if (path.includes('/') || stateOfTraining.test(path)) return false;
    const isOtherIndex = hasSafetensors && path.endsWith('.bin.index.json');
    return (isSmall.test(path) || weights.test(path)) && !isOtherIndex;
  });
}

const torchFile = /\.(bin|pt|pth)$/;

/** What trainers save beside the weights. */
const stateOfTraining = /^(training_args|optimizer|scheduler|scaler|rng_state\w*)\.(bin|pt|pth)$/;

function refuseWeightless(id: string, files: readonly HubFile[], chosen: readonly HubFile[]): void {
  if (chosen.some(({ path }) => torchFile.test(path) || path.endsWith('.safetensors'))) return;
  throw new ReasongenError({
    code: 'HUB_NO_WEIGHTS',
    message: `${id} has no weights that are read here: safetensors or PyTorch files in its first folder`,
    hint: `its files are: ${someOf(files)}; look for the repository that this one was made from, or fetch files all the same with --include`,
    exitCode: exitCodes.disk,
  });
}

function someOf(files: readonly HubFile[]): string {
  const names = files.map(({ path }) => path);
  return names.length > 30 ? `${names.slice(0, 30).join(', ')} and ${names.length - 30} more` : names.join(', ');
}

/** Whether a blob is there as it should be. It is compared with its hash once; a damaged one is fetched again. */
async function isWhole(file: HubFile, blob: string, verified: Verified, log: Log): Promise<boolean> {
  if (!existsSync(blob)) return false;
  if ((await verified.has(blob)) || (await hasContent(blob, file))) return true;
  log.warn(`${file.path} in the cache is damaged; it is fetched again`);
  return false;
}

/** Caches on systems without links hold the files themselves. */
async function isCopy(file: HubFile, path: string, verified: Verified): Promise<boolean> {
  const status = await lstat(path).catch(() => undefined);
  if (status?.isFile() !== true || !((await verified.has(path)) || (await hasContent(path, file)))) return false;
  await verified.note(path);
  return true;
}

function globExpression(glob: string): RegExp {
  const source = glob
    .replace(/[.+^$()[\]{}|\\]/g, String.raw`\$&`)
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`);
}

async function refuseFullDisk(files: readonly HubFile[], blobs: string): Promise<void> {
  let missing = 0;
  for (const { hash, size } of files) {
    const there = Math.max(
      ...(await Promise.all(
        ['', '.incomplete'].map((end) =>
          lstat(join(blobs, `${hash.hex}${end}`)).then(
            ({ size: bytes }) => bytes,
            () => 0,
          ),
        ),
      )),
    );
    missing += Math.max(0, size - there);
  }
  const { bavail, bsize } = await statfs(blobs);
  const free = bavail * bsize;
  if (missing <= free) return;
  throw new ReasongenError({
    code: 'DISK_FULL',
    message: `${(missing / 1e9).toFixed(2)} GB are to be fetched, and the disk has ${(free / 1e9).toFixed(2)} GB left`,
    place: blobs,
    hint: 'free some space, or put the cache elsewhere with HF_HOME',
    exitCode: exitCodes.disk,
  });
}

/** Another program may be fetching another revision into the same cache. */
const abandonedAfter = 24 * 3600 * 1000;

/** Removes what was fetched in part of files that the hub lists no longer, as large as a model, when nobody has added to it for a day. */
async function sweepParts(blobs: string, files: readonly HubFile[], log: Log): Promise<void> {
  const listed = new Set(files.map(({ hash }) => `${hash.hex}.incomplete`));
  try {
    for (const name of await readdir(blobs)) {
      if (!name.endsWith('.incomplete') || listed.has(name)) continue;
      const path = join(blobs, name);
      const status = await lstat(path).catch(() => undefined);
      if (status === undefined || Date.now() - status.mtimeMs < abandonedAfter) continue;
      await rm(path, { force: true });
      log.info(`${name}, left by a download that was never finished, is removed`);
    }
  } catch (cause) {
    // The model is there, which was the task.
    log.warn(diskError(cause, 'removing what a download has left', blobs).message);
  }
}

/** A relative link from the snapshot to the blob, as other programs expect it; a copy where the system has no links. */
async function link(blob: string, path: string): Promise<void> {
  const target = relative(dirname(path), blob);
  try {
    await mkdir(dirname(path), { recursive: true });
    if ((await readlink(path).catch(() => undefined)) === target) return;
    await rm(path, { force: true });
    await symlink(target, path);
  } catch (cause) {
    if (!hasCode(cause, 'EPERM', 'ENOSYS', 'ENOTSUP')) throw diskError(cause, 'linking a file of the model', path);
    await copyFile(blob, path);
  }
}

async function noteRevision(folder: string, revision: string, commit: string): Promise<void> {
  const path = join(folder, 'refs', ...revision.split('/'));
  try {
    await mkdir(dirname(path), { recursive: true });
    if ((await readFile(path, 'utf8').catch(() => '')) !== commit) await replaceLoneFile(path, commit);
  } catch (cause) {
    throw diskError(cause, 'noting the commit of a revision', path);
  }
}

async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true }).catch((cause: unknown) => {
    throw diskError(cause, 'making the cache', path);
  });
}
