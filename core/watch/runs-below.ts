/** The runs below a folder, and what a line of the list says of each. Nothing is followed out of the folder: links are passed over. */
import { lstat, readdir } from 'node:fs/promises';
import { basename, join, relative, sep } from 'node:path';
import { explainError } from '../failure.ts';
import { hasCode } from '../io/disk.ts';
import { parseMetrics, type Metrics } from '../io/metrics.ts';
import { readTextWithin } from '../io/record-file.ts';
import { text } from '../io/record-fields.ts';
import { checkedRunRecord, type RunRecord } from '../io/records.ts';
import { runState } from '../io/run-state.ts';
import type { RunSummary } from '../page/answers.ts';
import { warningOf } from '../report/warnings.ts';
import { lastLines } from './tail.ts';

/** Folders of folders that are looked into, and runs that are listed. */
const [deepest, mostRuns] = [4, 2000];

/** Directories of runs by their ids: the path below `folder` with `/`, `.` for the folder itself. */
export async function runsBelow(folder: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const look = async (directory: string, depth: number): Promise<void> => {
    const entries = await readdir(directory, { withFileTypes: true }).catch((cause: unknown) => {
      if (hasCode(cause, 'ENOENT', 'ENOTDIR', 'EACCES', 'EPERM')) return [];
      throw cause;
    });
    if (entries.some(({ name }) => name === 'run.json')) {
      // What lies in a run is its own: a tracker, for one, has a run.json there, too.
      if (found.size < mostRuns) found.set(relative(folder, directory).split(sep).join('/') || '.', directory);
      return;
    }
    if (depth === deepest) return;
    for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1)))
      if (entry.isDirectory() && !entry.name.startsWith('.') && entry.name !== 'node_modules')
        await look(join(directory, entry.name), depth + 1);
  };
  await look(folder, 0);
  return found;
}

/** Changes whenever the summary of the run may have changed. */
export async function summaryMark(directory: string): Promise<string> {
  const marks = ['run.json', 'preset.yaml', 'metrics.ndjson', 'log.txt', 'lock'].map(async (name) => {
    const status = await lstat(join(directory, name)).catch(() => undefined);
    return status === undefined ? '' : `${status.ino}:${name === 'lock' ? '' : `${status.size}:${status.mtimeMs}`}`;
  });
  return (await Promise.all(marks)).join(' ');
}

/** What the list says of a run; never throws: a run that cannot be read says why. */
export async function summaryOfRun(id: string, directory: string): Promise<RunSummary> {
  try {
    const record = await checkedRunRecord(directory);
    const last = record.sessions.at(-1);
    const adapter = record.adapter['description'];
    const warning = (await lastLines(directory, 'log.txt')).flatMap((line) => warningOf(line) ?? []).at(-1);
    return {
      id,
      name: record.name === '' ? basename(directory) : record.name,
      state: runState(directory, record),
      ...(await progressOf(directory, record)),
      ...(adapter !== undefined && { adapter }),
      ...(record.preset !== undefined && { preset: record.preset }),
      ...(last !== undefined && { startedAt: last.startedAt }),
      ...(last?.finishedAt !== undefined && { finishedAt: last.finishedAt }),
      ...(warning !== undefined && { warning: warning.text }),
      ...(last?.note !== undefined && { note: last.note }),
    };
  } catch (error) {
    return { id, name: basename(directory), state: 'unreadable', note: explainError(error).message };
  }
}

async function progressOf(directory: string, { sessions }: RunRecord): Promise<Partial<RunSummary>> {
  // A line that is no record is told of where the curves are.
  const lines = (await lastLines(directory, 'metrics.ndjson')).map(parseMetrics).filter((each) => each !== undefined);
  const number = (name: string): number | undefined => {
    const value = lines.findLast((line) => typeof line[name] === 'number')?.[name];
    return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
  };
  const [step, steps] = [number('step'), stepsOf(text(await readTextWithin(directory, 'preset.yaml'), 1e6) ?? '')];
  const secondsPerStep = pace(lines, Date.parse(sessions.at(-1)?.startedAt ?? '') / 1000);
  const isGoing = sessions.at(-1)?.outcome === undefined;
  const values = {
    step,
    steps,
    secondsPerStep,
    secondsLeft:
      isGoing && secondsPerStep !== undefined && steps !== undefined && step !== undefined
        ? Math.max(0, steps - step) * secondsPerStep
        : undefined,
    reward: number('reward'),
    passRate: number('passRate'),
    loss: number('loss'),
  };
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}

/** Seconds from step to step, of those that the session has taken since `since`. */
function pace(lines: readonly Metrics[], since: number): number | undefined {
  const times = lines.flatMap(({ unixSeconds }) =>
    typeof unixSeconds === 'number' && !(unixSeconds < since) ? [unixSeconds] : [],
  );
  const [first, last] = [times[0], times.at(-1)];
  if (first === undefined || last === undefined || times.length < 2) return undefined;
  const seconds = (last - first) / (times.length - 1);
  return seconds >= 0 ? seconds : undefined;
}

/** `steps` of the recipe, of a resolved preset: every option stands on a line of its own there. */
function stepsOf(preset: string): number | undefined {
  const recipe = /^recipe:\n((?: .*\n?)*)/m.exec(preset)?.[1] ?? '';
  const digits = /^ {2}steps: (\d{1,12})\s*(?:#.*)?$/m.exec(recipe)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
