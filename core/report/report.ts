/** Builds `report.html` from the records of a run, or of all runs of a chain; nothing else is looked at. */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { diskError, replaceFile } from '../io/disk.ts';
import { readRunRecords, readSamplePicture, type RunRecords, type SampleRecord } from '../io/records.ts';
import { shown as shownSamples } from './drawings.ts';
import { renderPage } from './page.ts';

/** Writes the report into the directory and returns its path. A directory without runs throws NOT_A_RUN. */
export async function writeReport(directory: string): Promise<string> {
  const stages = await readStages(directory);
  const style = await readFile(new URL('style.css', import.meta.url), 'utf8');
  const page = await renderPage(basename(resolve(directory)), stages, style);
  const path = join(directory, 'report.html');
  await replaceFile(path, page).catch((cause: unknown) => {
    throw diskError(cause, 'writing the report', path);
  });
  return path;
}

/** Whether a report would show anything: steps, evaluations or why it failed, of the run or of one of its stages. */
export async function hasResults(directory: string): Promise<boolean> {
  if (!existsSync(directory)) return false;
  const stages = await readStages(directory, { allowNone: true });
  return stages.some(
    ({ run, metrics, evaluations }) =>
      metrics.length > 0 || evaluations.length > 0 || run.sessions.at(-1)?.error !== undefined,
  );
}

/** The run in a directory, or else the runs directly below it, by their start. */
async function readStages(directory: string, { allowNone = false } = {}): Promise<RunRecords[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((cause: unknown) => {
    throw diskError(cause, 'reading the records of a run', directory);
  });
  if (entries.some(({ name }) => name === 'run.json')) return [await withPictures(await readRunRecords(directory))];
  const stages: RunRecords[] = [];
  for (const entry of entries) {
    const path = join(directory, entry.name);
    if (entry.isDirectory() && (await readdir(path)).includes('run.json'))
      stages.push(await withPictures(await readRunRecords(path)));
  }
  // Not a chain either: this throws the error that says so.
  if (stages.length === 0 && !allowNone) await readRunRecords(directory);
  const start = ({ run }: RunRecords): string => run.sessions[0]?.startedAt ?? '';
  return stages.sort((a, b) => (start(a) < start(b) ? -1 : 1));
}

/** Puts the pictures of the samples, as base64, where their paths were. */
async function withPictures(records: RunRecords): Promise<RunRecords> {
  const samples: SampleRecord[] = [];
  for (const sample of records.samples.slice(0, shownSamples))
    samples.push({ ...sample, image: await readSamplePicture(records.directory, sample) });
  return { ...records, samples };
}
