/**
 * Where models from a hub lie on disk: the cache that other programs of the Hugging Face ecosystem share.
 * `models--OWNER--NAME/` holds `blobs/` by content hash, `refs/` from branch to commit, and `snapshots/COMMIT/` with links into `blobs/`.
 * https://huggingface.co/docs/huggingface_hub/guides/manage-cache
 */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { exitCodes, ReasongenError } from '../../errors.ts';
import type { Environment } from '../../environment.ts';
import { homeDirectory } from '../../setup/cache.mjs';

/** A model on a hub: `OWNER/NAME`, and a branch, tag or commit. */
export interface HubModel {
  readonly id: string;
  readonly revision: string;
}

/** `OWNER/NAME` or `OWNER/NAME@REVISION`. Throws BAD_MODEL_NAME, also for what would leave the cache folder as a path. */
export function parseHubModel(text: string, revision = 'main'): HubModel {
  const [id = '', own, ...more] = text.split('@');
  const part = /^(?!.*(?:\.\.|--))[A-Za-z0-9_][A-Za-z0-9._-]*$/;
  const names = id.split('/');
  const chosen = own ?? revision;
  if (more.length > 0 || names.length !== 2 || !names.every((name) => part.test(name)) || !isRevision(chosen)) {
    throw new ReasongenError({
      code: 'BAD_MODEL_NAME',
      message: `"${text}${own === undefined && revision !== 'main' ? `@${revision}` : ''}" is not the name of a model on a hub`,
      hint: 'write OWNER/NAME, or OWNER/NAME@REVISION with a branch, tag or commit',
      exitCode: exitCodes.badPreset,
    });
  }
  return { id, revision: chosen };
}

/** Branches may have slashes; nothing may climb out of `refs/`. */
function isRevision(text: string): boolean {
  return (
    /^[A-Za-z0-9_][A-Za-z0-9._/-]*$/.test(text) &&
    !text.split('/').some((part) => part === '' || part.startsWith('.')) &&
    !text.includes('..')
  );
}

export function isCommit(text: string): boolean {
  return /^[0-9a-f]{40}$/.test(text);
}

/** HF_HUB_CACHE, or `hub` in HF_HOME, or in `~/.cache/huggingface`; absolute. Throws BAD_PATH for what cannot be expanded. */
export function hubCacheFolder(environment: Environment): string {
  const read = (variable: string): string | undefined => expanded(variable, environment);
  const own = read('HF_HUB_CACHE') ?? read('HUGGINGFACE_HUB_CACHE');
  if (own !== undefined) return own;
  const caches = read('XDG_CACHE_HOME') ?? join(homeDirectory(environment), '.cache');
  return join(read('HF_HOME') ?? join(caches, 'huggingface'), 'hub');
}

/**
 * As the hub's own client reads these variables: `~`, `$NAME` and `${NAME}` stand for what they do in a shell, because files of settings,
 * containers and services set them without one.
 */
function expanded(variable: string, environment: Environment): string | undefined {
  const value = environment[variable];
  if (!value) return undefined;
  const home = homeDirectory(environment);
  const pattern = /\$(\w+|\{[^}]*\})/g;
  const path = value
    .replace(/^~(?=\/|$)/, () => home)
    .replaceAll(pattern, (whole, name: string) => environment[name.replaceAll(/[{}]/g, '')] ?? whole);
  const [left] = /^~[^/]*/.exec(path) ?? pattern.exec(path) ?? [];
  if (left === undefined) return resolve(path);
  throw new ReasongenError({
    code: 'BAD_PATH',
    message: `${variable} is "${value}", and what ${left} stands for is not known`,
    hint: `set ${variable} to the whole path`,
    exitCode: exitCodes.badPreset,
  });
}

export function modelFolder(cache: string, { id }: HubModel): string {
  return join(cache, `models--${id.replace('/', '--')}`);
}

/** The commit that a branch or tag stood for when it was pulled; a commit stands for itself. */
export function knownCommit(cache: string, model: HubModel): string | undefined {
  if (isCommit(model.revision)) return model.revision;
  try {
    const commit = readFileSync(join(modelFolder(cache, model), 'refs', model.revision), 'utf8').trim();
    return isCommit(commit) ? commit : undefined;
  } catch {
    return undefined;
  }
}

/** The folder with a pulled model's files; undefined when it was never pulled. */
export function findSnapshot(model: HubModel, environment: Environment): string | undefined {
  const cache = hubCacheFolder(environment);
  const commit = knownCommit(cache, model);
  if (commit === undefined) return undefined;
  const folder = join(modelFolder(cache, model), 'snapshots', commit);
  return existsSync(folder) ? folder : undefined;
}

/** The folder of a pulled model by its name, as `parseHubModel` takes it. Throws NOT_PULLED; `more` goes behind its hint. */
export function pulledFolder(name: string, environment: Environment, more = ''): string {
  const found = findSnapshot(parseHubModel(name), environment);
  if (found !== undefined) return found;
  throw new ReasongenError({
    code: 'NOT_PULLED',
    message: `the model ${name} is not in the cache`,
    place: `hub:${name}`,
    hint: `run \`npx reasongen pull ${name.replace('@', ' --revision ')}\` first${more}`,
    exitCode: exitCodes.badPreset,
  });
}
