/** The run directories of a chain: those of its stages lie in the one that holds the chain's `preset.yaml`. */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { listCheckpoints } from './checkpoint.ts';
import { diskError } from './disk.ts';
import { readRunRecord } from './records.ts';

/** The run in a directory, or else the stages of a chain that have begun, in their order. Empty where there is neither. */
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
  // As the preset names them: clocks may be set back between two stages.
  const preset = await readFile(join(directory, 'preset.yaml'), 'utf8').catch((cause: unknown) => {
    throw diskError(cause, 'looking for the stages of a run', directory);
  });
  const places = new Map(runs.map(({ path }) => [path, preset.indexOf(`./${basename(path)}/preset.yaml`)]));
  const isNamed = [...places.values()].every((place) => place >= 0);
  return runs
    .sort((a, b) => (isNamed ? (places.get(a.path) ?? 0) - (places.get(b.path) ?? 0) : a.start < b.start ? -1 : 1))
    .map(({ path }) => path);
}

/** The run whose weights are meant by a directory: of a chain the last stage that has saved any. Undefined when none has. */
export async function trainedRun(directory: string): Promise<string | undefined> {
  for (const run of (await runsIn(directory)).reverse()) if ((await listCheckpoints(run)).length > 0) return run;
  return undefined;
}
