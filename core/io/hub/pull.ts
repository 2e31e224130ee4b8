/** A model from a hub into the cache that other programs share. */
import { copyFile, lstat, mkdir, readFile, readlink, rm, statfs, symlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { exitCodes, ReasongenError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { diskError, hasCode, replaceFile } from '../disk.ts';
import { takeLock } from '../lock.ts';
import { isCommit, modelFolder, type HubModel } from './cache.ts';
import { HubClient, type HubFile, type HubOptions } from './client.ts';
import { download } from './download.ts';
import { persistently, type Persistence } from './persistence.ts';

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
  const client = new HubClient(options);
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
      hint: `its files are: ${files
        .map(({ path }) => path)
        .slice(0, 30)
        .join(', ')}`,
      exitCode: exitCodes.disk,
    });
  }
  const folder = modelFolder(cache, model);
  const blobs = join(folder, 'blobs');
  const snapshot = join(folder, 'snapshots', commit);
  await makeFolder(blobs);
  await makeFolder(snapshot);
  const lock = await takeLock(join(folder, '.reasongen-pull'));
  try {
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
        const blob = join(blobs, file.hash.hex);
        await download(file, blob, { client, model, commit, progress, ...persistence });
        await link(blob, join(snapshot, ...file.path.split('/')));
      }
    } finally {
      bar.end();
    }
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
  const weights = hasSafetensors ? /\.safetensors$/ : /\.(bin|pt|pth)$/;
  return files.filter(({ path }) => {
    if (path.includes('/')) return false;
    const isOtherIndex = hasSafetensors && path.endsWith('.bin.index.json');
    return (isSmall.test(path) || weights.test(path)) && !isOtherIndex;
  });
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
    if ((await readFile(path, 'utf8').catch(() => '')) !== commit) await replaceFile(path, commit);
  } catch (cause) {
    throw diskError(cause, 'noting the commit of a revision', path);
  }
}

async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true }).catch((cause: unknown) => {
    throw diskError(cause, 'making the cache', path);
  });
}
