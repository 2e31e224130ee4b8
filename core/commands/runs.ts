import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { exitCodes, ReasongenError } from '../errors.ts';
import { explainError } from '../failure.ts';
import { runsIn } from '../io/chain.ts';
import { diskError } from '../io/disk.ts';
import { readMetrics } from '../io/metrics.ts';
import { readRunRecord } from '../io/records.ts';
import { runState, type RunState } from '../io/run-state.ts';
import { formatSeconds } from '../log.ts';
import type { CommandContext } from './context.ts';
import { textTable } from './text-table.ts';

/** One run of a folder, or a stage of a chain. */
interface RunLine {
  readonly directory: string;
  readonly state: RunState | 'unreadable';
  readonly name?: string;
  readonly step?: number;
  readonly passRate?: number;
  readonly reward?: number;
  /** Of the last session. */
  readonly startedAt?: string;
  readonly finishedAt?: string;
  readonly note?: string;
}

/** `runs [folder]`: the runs of a folder, newest last; each with state, step, pass rate or reward, and age. */
export async function listRuns(
  folder: string,
  { json = false }: { readonly json?: boolean },
  { write }: CommandContext,
): Promise<number> {
  const runs = (await Promise.all((await directoriesOf(folder)).map(describeRun))).sort((a, b) =>
    (a.startedAt ?? '') < (b.startedAt ?? '') ? -1 : 1,
  );
  write(json ? `${JSON.stringify(runs, undefined, 2)}\n` : table(runs, folder));
  return exitCodes.done;
}

async function directoriesOf(folder: string): Promise<string[]> {
  if (!existsSync(folder)) {
    throw new ReasongenError({
      code: 'NO_RUNS',
      message: 'there is no such folder',
      place: resolve(folder),
      hint: '`reasongen run` makes runs/; name another folder: npx reasongen runs FOLDER',
      exitCode: exitCodes.badPreset,
    });
  }
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
    throw diskError(cause, 'looking for runs', folder);
  });
  const folders = entries.filter((entry) => entry.isDirectory()).map((entry) => join(folder, entry.name));
  return (await Promise.all([folder, ...folders].map(runsOf))).flat();
}

/** A chain that cannot be read is a line of the list, not its end. */
async function runsOf(directory: string): Promise<string[]> {
  return runsIn(directory).catch(() => [directory]);
}

async function describeRun(directory: string): Promise<RunLine> {
  try {
    const { name, sessions } = await readRunRecord(directory);
    const metrics = await readMetrics(join(directory, 'metrics.ndjson'));
    const last = sessions.at(-1);
    const number = (key: string): number | undefined => {
      const value = metrics.findLast((each) => typeof each[key] === 'number')?.[key];
      return typeof value === 'number' ? value : undefined;
    };
    const values = { step: number('step'), passRate: number('passRate'), reward: number('reward') };
    return {
      directory,
      state: runState(directory, { sessions }),
      name,
      ...Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)),
      ...(last !== undefined && { startedAt: last.startedAt }),
      ...(last?.finishedAt !== undefined && { finishedAt: last.finishedAt }),
      ...(last?.note !== undefined && { note: last.note }),
    };
  } catch (error) {
    return { directory, state: 'unreadable', note: explainError(error).message };
  }
}

function table(runs: readonly RunLine[], folder: string): string {
  if (runs.length === 0) return `no runs in ${folder}\n`;
  const head = ['run', 'state', 'step', 'pass rate', 'reward', 'age', ''];
  const rows = runs.map((run) => [
    relative(process.cwd(), run.directory) || '.',
    run.state,
    run.step === undefined ? '' : String(run.step),
    run.passRate === undefined ? '' : `${(100 * run.passRate).toFixed(0)} %`,
    run.reward === undefined ? '' : run.reward.toFixed(3),
    run.startedAt === undefined ? '' : age(run.finishedAt ?? run.startedAt),
    run.state === 'failed' || run.state === 'unreadable' ? (run.note?.split('\n')[0] ?? '') : '',
  ]);
  return `${textTable([head, ...rows]).join('\n')}\n`;
}

/** `3d` beyond two days. */
function age(time: string): string {
  const seconds = (Date.now() - Date.parse(time)) / 1000;
  return seconds > 48 * 3600 ? `${Math.floor(seconds / 86_400)}d` : formatSeconds(seconds);
}
