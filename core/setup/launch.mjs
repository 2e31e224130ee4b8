#!/usr/bin/env node
import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { chatterFilter } from './chatter.mjs';
import { exitWith, isMain, SetupError } from './failure.mjs';
import { noteSignal } from './starter.mjs';
import { describeDriver, driverEnvironment, prepareDriver } from './vulkan.mjs';

/** The exit code when the child died by a fault of native code. */
export const crashExitCode = 70;

const crashes = ['SIGSEGV', 'SIGABRT', 'SIGBUS', 'SIGILL', 'SIGFPE'];

/**
 * Runs a command to its end under supervision: stdin and stdout are the child's own, stderr passes through without driver chatter
 * (REASONGEN_DRIVER_LOG=1 keeps it); REASONGEN_TERMINAL tells the child that a terminal is at the other end. SIGTERM and SIGHUP are passed on; a
 * terminal sends ^C to the child as well, so SIGINT is passed on only where there is none.
 *
 * With `isOwn` the child is this program, which takes copies of a signal for one: every signal is passed on. A channel of messages tells the
 * child when its supervisor is gone, however it ended (REASONGEN_SUPERVISED=1); the child tells the directory of its run (`core/supervisor.ts`).
 * @param {string} command @param {string[]} args
 * @param {{ env?: NodeJS.ProcessEnv, cwd?: string, stderr?: { write(text: string): unknown }, isOwn?: boolean, goOn?: string | undefined }} options `goOn`: what to do when the system or a fault of native code has ended the child, where it is no run
 * @returns {Promise<number>} the child's exit code, 128 + n when signal n ended it, 70 when it crashed
 * @throws {SetupError} when the command cannot be started
 */
export function launch(
  command,
  args,
  { env = process.env, cwd = process.cwd(), stderr = process.stderr, isOwn = false, goOn } = {},
) {
  const raw = env.REASONGEN_DRIVER_LOG === '1';
  return new Promise((resolve, reject) => {
    const terminal = process.stderr.isTTY ? { REASONGEN_TERMINAL: String(process.stderr.columns ?? 80) } : {};
    const killsBefore = killsForMemory();
    const child = spawn(command, args, {
      cwd,
      env: { ...env, ...(raw ? {} : terminal), ...(isOwn ? { REASONGEN_SUPERVISED: '1' } : {}) },
      stdio: ['inherit', 'inherit', raw ? 'inherit' : 'pipe', ...(isOwn ? [/** @type {const} */ ('ipc')] : [])],
    });
    /** @type {import('../supervisor.ts').ToldSupervisor | undefined} */
    let run;
    child.on('message', (/** @type {import('../supervisor.ts').ToldSupervisor} */ told) => (run = told));
    const filter = chatterFilter((text) => stderr.write(text));
    child.stderr?.on('data', (chunk) => filter.push(chunk));
    const restore = passSignalsOn(child, !isOwn && hasTerminal(), env.REASONGEN_NOHUP === '1');
    child.on('error', (error) => {
      restore();
      reject(
        new SetupError({
          code: 'CANNOT_START',
          message: `${command} cannot be started: ${error.message}`,
          hint: 'check that the program exists and may be executed',
          cause: error,
        }),
      );
    });
    child.on('close', (code, signal) => {
      restore();
      filter.end();
      if (signal && crashes.includes(signal)) {
        stderr.write(crashMessage(signal, goOn ?? resuming(run)));
        resolve(crashExitCode);
        return;
      }
      if (signal === 'SIGKILL') stderr.write(killMessage(killsBefore, goOn ?? resuming(run)));
      resolve(signal ? 128 + constants.signals[signal] : (code ?? 1));
    });
  });
}

/**
 * @param {import('node:child_process').ChildProcess} child @param {boolean} sharesTerminal whether a terminal signals the child itself
 * @param {boolean} ignoresHangUps @returns {() => void} ends it
 */
function passSignalsOn(child, sharesTerminal, ignoresHangUps) {
  const ignore = () => {};
  const forward = (/** @type {NodeJS.Signals} */ signal) => {
    noteSignal();
    child.kill(signal);
  };
  const handlers = /** @type {const} */ ([
    ['SIGINT', sharesTerminal ? ignore : forward],
    ['SIGQUIT', sharesTerminal ? ignore : forward],
    ['SIGTERM', forward],
    ['SIGUSR2', forward],
    ['SIGHUP', ignoresHangUps ? ignore : forward],
  ]);
  for (const [signal, handler] of handlers) process.on(signal, handler);
  return () => {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  };
}

/**
 * As `launch`, in the environment of the best Vulkan driver of this machine.
 * @param {string} command @param {string[]} args @param {{ env?: NodeJS.ProcessEnv, cwd?: string, quiet?: boolean }} options `quiet` leaves out the line that names the driver
 */
export async function launchWithDriver(command, args, { env = process.env, cwd = process.cwd(), quiet = false } = {}) {
  const say = (/** @type {string} */ line) => void process.stderr.write(`${line}\n`);
  const driver = await prepareDriver({ env, report: say });
  if (!quiet) say(describeDriver(driver));
  return launch(command, args, { cwd, env: { ...env, ...driverEnvironment(driver, env) } });
}

/** Whether a terminal controls this process, and so signals the whole group of processes. */
function hasTerminal() {
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return true;
  } catch {
    return false;
  }
}

/** How a training run or an evaluation goes on. @param {import('../supervisor.ts').ToldSupervisor | undefined} run */
function resuming(run) {
  if (run === undefined || !existsSync(join(run.directory, 'preset.yaml'))) return 'no run had begun; try it again';
  const saved = hasCheckpoint(run.directory) ? 'the last checkpoint is whole' : 'no checkpoint had been saved';
  return `${saved}; go on with \`${run.goOn}\``;
}

/** Of a run, or of a stage of it. @param {string} directory */
function hasCheckpoint(directory) {
  const stages = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [directory, ...stages.map(({ name }) => join(directory, name))].some((each) => {
    const folder = join(each, 'checkpoints');
    return existsSync(folder) && readdirSync(folder).some((name) => name.startsWith('step-'));
  });
}

/** How many processes the kernel has killed for want of memory since it started; undefined where it does not tell. */
function killsForMemory() {
  try {
    const [, count] = /^oom_kill (\d+)$/m.exec(readFileSync('/proc/vmstat', 'utf8')) ?? [];
    return count === undefined ? undefined : Number(count);
  } catch {
    return undefined;
  }
}

/** @param {number | undefined} killsBefore @param {string} goOn */
function killMessage(killsBefore, goOn) {
  const kills = (killsForMemory() ?? 0) - (killsBefore ?? 0);
  const why =
    kills > 0
      ? `the system ran out of memory meanwhile and killed ${kills === 1 ? 'a process' : `${kills} processes`}`
      : 'a system or a container that runs out of memory does this, or somebody did';
  return (
    `error KILLED: the process was ended by SIGKILL: ${why}\n` +
    `  hint: ${goOn}, with more free memory or smaller batches (\`reasongen check\` prints what a preset needs)\n`
  );
}

/** @param {string} signal @param {string} goOn */
function crashMessage(signal, goOn) {
  return (
    `error DRIVER_CRASH: the process died by ${signal} inside native code. A software adapter does this when memory runs out.\n` +
    `  hint: ${goOn}, with more free memory or smaller batches (\`reasongen check\` prints what a preset needs)\n`
  );
}

if (isMain(import.meta.url)) {
  const [command, ...args] = process.argv.slice(2);
  await exitWith(async () => {
    if (!command)
      throw new SetupError({
        code: 'USAGE',
        message: 'no command given',
        hint: 'node core/setup/launch.mjs <command> [arguments]',
      });
    return launchWithDriver(command === 'node' ? process.execPath : command, args, {
      quiet: process.env.REASONGEN_QUIET === '1',
    });
  });
}
