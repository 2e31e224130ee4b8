/**
 * What somebody asks of a run while it goes on: files in `requests/` of its directory, which the run takes away between two steps. Whoever may write
 * there may ask.
 */
import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { disk, diskError, replaceFile } from './disk.ts';
import { mkdir } from './files.ts';
import { fields, list, text } from './record-fields.ts';
import { parseRecord, readTextWithin } from './record-file.ts';

/** `save`: a checkpoint after this step; `stop`: the end of the run after this step; `draw`: these prompts with the newest weights. */
export type RunRequest =
  | { readonly kind: 'save' }
  | { readonly kind: 'stop' }
  | { readonly kind: 'draw'; readonly prompts: readonly string[] };

/** Prompts of a request, and characters of one. */
export const [mostPrompts, longestPrompt] = [8, 500];

const folderName = 'requests';

/** Undefined for what is no request. */
export function checkRequest(value: unknown): RunRequest | undefined {
  const { kind, prompts } = fields(value);
  if (kind === 'save' || kind === 'stop') return { kind };
  if (kind !== 'draw') return undefined;
  const kept = list(prompts, (prompt) => {
    const said = typeof prompt === 'string' && prompt.length <= longestPrompt ? text(prompt)?.trim() : undefined;
    return said === '' || said === undefined || /\p{Cc}|\p{Surrogate}/u.test(said) ? undefined : said;
  });
  return kept.length > 0 && kept.length <= mostPrompts ? { kind, prompts: kept } : undefined;
}

export async function writeRequest(directory: string, request: RunRequest): Promise<void> {
  const folder = join(directory, folderName);
  try {
    await mkdir(folder, { recursive: true });
    // Microseconds, so that requests are heard in the order in which they were made.
    const time = String(Math.round(1000 * (performance.timeOrigin + performance.now()))).padStart(17, '0');
    await replaceFile(join(folder, `${time}-${randomUUID()}.json`), JSON.stringify(request));
  } catch (cause) {
    throw diskError(cause, 'asking the run', folder);
  }
}

/** Takes what has been asked for since the last call; what is no request is thrown away. Costs one look at a folder where there is nothing. */
export async function takeRequests(directory: string): Promise<RunRequest[]> {
  let names: string[];
  try {
    names = readdirSync(join(directory, folderName))
      .filter((name) => /^\d{17}-[\da-f-]{36}\.json$/.test(name))
      .sort();
  } catch {
    // There is no such folder until somebody asks.
    return [];
  }
  const requests: RunRequest[] = [];
  for (const name of names) {
    const file = join(folderName, name);
    const value = await readTextWithin(directory, file)
      .then((json = '') => parseRecord(json, file))
      .catch(() => undefined);
    await disk.rm(join(directory, file), { force: true });
    const request = checkRequest(value);
    if (request !== undefined) requests.push(request);
  }
  return requests;
}
