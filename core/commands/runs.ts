import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { exitCodes, ReasongenError } from '../errors.ts';
import { runsIn } from '../io/chain.ts';
import { diskError } from '../io/disk.ts';
import { present } from '../io/record-fields.ts';
import type { RunState } from '../io/run-state.ts';
import { formatSeconds } from '../log.ts';
import { summaryOfRun } from '../watch/runs-below.ts';
import type { CommandContext } from './context.ts';
import { textTable } from './text-table.ts';

/** One run of a folder, or a stage of a chain. */
interface RunLine {
  readonly directory: string;
  readonly state: RunState | 'unreadable';
  /** Of its record. */
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

/** What the list of the live page says of it, too: of records that anybody may have written. */
async function describeRun(directory: string): Promise<RunLine> {
  const { state, name, step, passRate, reward, startedAt, finishedAt, note } = await summaryOfRun('.', directory);
  return {
    directory,
    state,
    ...(state !== 'unreadable' && { name }),
    ...present({ step, passRate, reward, startedAt, finishedAt, note }),
  };
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
