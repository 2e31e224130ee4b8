/** Data sets in the cache that programs of the Hugging Face ecosystem share: `datasets--OWNER--NAME/snapshots/COMMIT/`. */
import type { Environment } from '../../environment.ts';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { exitCodes, ReasongenError } from '../../errors.ts';
import { hubCacheFolder, isCommit, parseHubModel } from './cache.ts';

/** The folder of a data set that was fetched before: `OWNER/NAME` or `OWNER/NAME@REVISION`. Throws NOT_IN_CACHE, saying how to fetch it. */
export function findHubDataset(text: string, environment: Environment): string {
  const { id, revision } = parseHubModel(text);
  const folder = join(hubCacheFolder(environment), `datasets--${id.replace('/', '--')}`);
  const reference = join(folder, 'refs', revision);
  const commit = isCommit(revision) ? revision : existsSync(reference) ? readFileSync(reference, 'utf8').trim() : '';
  const snapshot = join(folder, 'snapshots', commit);
  if (isCommit(commit) && existsSync(snapshot)) return snapshot;
  throw new ReasongenError({
    code: 'NOT_IN_CACHE',
    message: `the data set ${id}${revision === 'main' ? '' : ` at ${revision}`} is not in the cache`,
    place: folder,
    hint: `fetch it with: hf download ${id} --repo-type dataset; or name its files by their path`,
    exitCode: exitCodes.badPreset,
  });
}
