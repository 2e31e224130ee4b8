/** `launch`: a run over several ranks of this machine, or of the hosts of a file, started by Open MPI's mpirun. */
import { spawn, spawnSync } from 'node:child_process';
import { constants } from 'node:os';
import { existsSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Environment } from '../environment.ts';
import { exitCodes, ReasongenError, shellWord } from '../errors.ts';
import { isHeld } from '../io/lock.ts';
import { presetFile } from '../io/run-directory.ts';
import { loadPreset } from '../preset/load.ts';
import { freeRunDirectory, refuseExistingRun } from '../run.ts';
import { packageRoot } from '../setup/cache.mjs';
import type { CommandContext } from './context.ts';
import { type EndedRank, mpirunFilter } from './mpirun-messages.ts';

export interface LaunchOptions {
  readonly ranks: number;
  /** Names hosts, one a line, as mpirun reads it. */
  readonly hostfile?: string;
  readonly acceptChanges?: boolean;
}

/** Runs a preset, or goes on with the run of a directory, over ranks. Returns the exit code of the first rank. */
export async function launch(target: string, options: LaunchOptions, context: CommandContext): Promise<number> {
  const { settings, environment, log } = context;
  const mpirun = findMpirun(environment);
  const isResumed = existsSync(join(target, presetFile));
  const directory = isResumed ? resolve(target) : await newDirectory(target, context);
  const again = `npx reasongen launch --ranks ${options.ranks} ${shellWord(directory)}`;
  const own = [
    ...(context.command.includes('--debug') ? ['--debug'] : []),
    ...settings.flatMap((setting) => ['--set', setting]),
    ...(isResumed ? ['resume', directory] : ['--run-dir', directory, 'run', target]),
    ...(isResumed && options.acceptChanges === true ? ['--accept-changes'] : []),
  ];
  const program = [process.execPath, join(packageRoot, 'core', 'bin.mjs'), ...own];
  log.info(`${options.ranks} ranks by ${mpirun}; run directory: ${directory}`);
  const { code, ended } = await start(mpirun, [...mpirunArguments(options), ...program], context);
  if (ended === undefined || !isSudden(ended)) return code;
  await released(directory);
  throw rankDied(ended, options.ranks, directory, again);
}

/** Ranks that mpirun has ended may write for a moment longer: whoever goes on at once is not to find the run locked. */
async function released(directory: string): Promise<void> {
  const deadline = Date.now() + longestEnd;
  while (isHeld(join(directory, 'lock')) && Date.now() < deadline) await wait(100);
}

/** Milliseconds. */
const longestEnd = 10_000;

/** Checks the preset once, before every rank would, and finds a place for its run. */
async function newDirectory(target: string, context: CommandContext): Promise<string> {
  const { settings, runDirectory, environment } = context;
  const loaded = await loadPreset(target, { settings, environment });
  const directory = resolve(runDirectory ?? freeRunDirectory(loaded.name));
  // A job that a scheduler starts again goes on with what it has begun.
  if (!(Number(environment['SLURM_RESTART_COUNT'] ?? 0) > 0)) refuseExistingRun(directory);
  return directory;
}

function mpirunArguments({ ranks, hostfile }: LaunchOptions): string[] {
  return [
    ...['-n', String(ranks)],
    ...(process.getuid?.() === 0 ? ['--allow-run-as-root'] : []),
    // A rank is not one thread: a software adapter, pictures and the queue of the device want cores of their own.
    ...['--bind-to', 'none', '--oversubscribe'],
    // Reading another process's memory, which containers forbid, would be tried first, and complained about.
    ...['--mca', 'btl_vader_single_copy_mechanism', 'none', '--mca', 'btl_sm_single_copy_mechanism', 'none'],
    ...(hostfile === undefined ? [] : ['--hostfile', resolve(hostfile)]),
  ];
}

/** Open MPI's mpirun: REASONGEN_MPIRUN, or the one on the PATH. Throws MPIRUN_MISSING, or OTHER_MPI for that of another MPI. */
export function findMpirun(environment: Environment): string {
  const named = environment['REASONGEN_MPIRUN'];
  const found =
    named ||
    (environment['PATH'] ?? '')
      .split(delimiter)
      .map((folder) => join(folder, 'mpirun'))
      .find((file) => existsSync(file));
  const hint =
    'install Open MPI: apt-get install openmpi-bin libopenmpi3 (Debian), dnf install openmpi (Fedora), or `module load openmpi` on a cluster; REASONGEN_MPIRUN names one elsewhere';
  if (!found)
    throw new ReasongenError({
      code: 'MPIRUN_MISSING',
      message: 'there is no mpirun to start ranks with',
      hint,
      exitCode: exitCodes.badPreset,
    });
  const { stdout, error } = spawnSync(found, ['--version'], { encoding: 'utf8' });
  const [version = ''] = (stdout ?? '').split('\n');
  if (/open ?mpi|open-?rte|prrte/i.test(version)) return found;
  throw new ReasongenError({
    code: 'OTHER_MPI',
    message: `${found} is not Open MPI's: it says "${error?.message ?? version}"`,
    hint,
    exitCode: exitCodes.badPreset,
  });
}

/** Runs mpirun to its end. The first signal asks all ranks to stop after their step, a second one ends them. */
function start(
  mpirun: string,
  args: readonly string[],
  { stop, signal }: CommandContext,
): Promise<{ readonly code: number; readonly ended: EndedRank | undefined }> {
  return new Promise((done, fail) => {
    // In a group of its own: a terminal would send ^C to mpirun, too, which would end the ranks in the midst of a step.
    const child = spawn(mpirun, args, { stdio: ['ignore', 'inherit', 'pipe'], detached: true });
    const filter = mpirunFilter((text) => process.stderr.write(text));
    // A letter may come in two chunks.
    child.stderr.setEncoding('utf8').on('data', (text: string) => filter.push(text));
    const endHearing = stop.heard(() => void child.kill('SIGUSR2'));
    const giveUp = (): void => void child.kill('SIGTERM');
    signal.addEventListener('abort', giveUp);
    child.on('error', fail);
    child.on('close', (code, killedBy) => {
      endHearing();
      signal.removeEventListener('abort', giveUp);
      filter.end();
      done({ code: killedBy === null ? (code ?? 1) : 128 + constants.signals[killedBy], ended: filter.ended() });
    });
  });
}

/** Codes with which the first rank tells how a run has ended. Any other end is one that nobody has told of. */
const told: readonly number[] = Object.values(exitCodes);

function isSudden({ rank, signal, code }: EndedRank): boolean {
  return signal !== undefined || rank !== 0 || !told.includes(code ?? 0);
}

function rankDied(
  { rank, signal, code, host }: EndedRank,
  size: number,
  directory: string,
  again: string,
): ReasongenError {
  const where = host === undefined ? '' : ` on ${host}`;
  const how = signal === undefined ? `ended with exit code ${code}` : `was ended by signal ${signal}`;
  return new ReasongenError({
    code: 'RANK_DIED',
    message: `rank ${rank} of ${size}${where} ${how}, and the others were ended with it`,
    place: directory,
    hint: `go on behind the last checkpoint with: ${again}; the number of ranks may be another`,
    exitCode: exitCodes.failure,
  });
}
