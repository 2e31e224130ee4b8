/** The run directories of a chain: those of its stages lie in the one that holds the chain's `preset.yaml`. */
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { listCheckpoints } from './checkpoint.ts';
import { diskError } from './disk.ts';
import { readRunRecord } from './records.ts';

/** The run in a directory, or else the stages of a chain that have begun, in the order of their start. Empty where there is neither. */
export async function runsIn(directory: string): Promise<string[]> {
  if (existsSync(join(directory, 'run.json'))) return [directory];
  if (!existsSync(join(directory, 'preset.yaml'))) return [];
  const entries = await readdir(directory, { withFileTypes: true }).catch((cause: unknown) => {
    throw diskError(cause, 'looking for the stages of a run', directory);
  });
  const runs: { readonly path: string; readonly start: string }[] = [];
  for (const entry of entries) {
    const path = join(directory, entry.name);
    if (!entry.isDirectory() || !existsSync(join(path, 'run.json'))) continue;
    const { sessions } = await readRunRecord(path);
    runs.push({ path, start: sessions[0]?.startedAt ?? '' });
  }
  return runs.sort((a, b) => (a.start < b.start ? -1 : 1)).map(({ path }) => path);
}

/** The run whose weights are meant by a directory: of a chain the last stage that has saved any. Undefined when none has. */
export async function trainedRun(directory: string): Promise<string | undefined> {
  for (const run of (await runsIn(directory)).reverse()) if ((await listCheckpoints(run)).length > 0) return run;
  return undefined;
}
