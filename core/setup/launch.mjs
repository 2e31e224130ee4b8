#!/usr/bin/env node
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { chatterFilter } from './chatter.mjs';
import { exitWith, isMain, SetupError } from './failure.mjs';
import { describeDriver, driverEnvironment, prepareDriver } from './vulkan.mjs';

/** The exit code when the child died by a fault of native code. */
export const crashExitCode = 70;

const crashes = ['SIGSEGV', 'SIGABRT', 'SIGBUS', 'SIGILL', 'SIGFPE'];

/**
 * Runs a command to its end under supervision: stdin and stdout are the child's own, stderr passes through without driver chatter
 * (REASONGEN_DRIVER_LOG=1 keeps it); REASONGEN_TERMINAL tells the child
 * that a terminal is at the other end. A terminal sends ^C to the child as well, so it is passed on only where there
 * is no terminal; SIGTERM and SIGHUP always are.
 * @param {string} command @param {string[]} args @param {{ env?: NodeJS.ProcessEnv, cwd?: string, stderr?: { write(text: string): unknown } }} options
 * @returns {Promise<number>} the child's exit code, 128 + n when signal n ended it, 70 when it crashed
 * @throws {SetupError} when the command cannot be started
 */
export function launch(command, args, { env = process.env, cwd = process.cwd(), stderr = process.stderr } = {}) {
  const raw = env.REASONGEN_DRIVER_LOG === '1';
  return new Promise((resolve, reject) => {
    const terminal = process.stderr.isTTY ? { REASONGEN_TERMINAL: String(process.stderr.columns ?? 80) } : {};
    const child = spawn(command, args, {
      cwd,
      env: { ...env, ...(raw ? {} : terminal) },
      stdio: ['inherit', 'inherit', raw ? 'inherit' : 'pipe'],
    });
    const filter = chatterFilter((text) => stderr.write(text));
    child.stderr?.on('data', (chunk) => filter.push(chunk));
    const ignore = () => {};
    const forward = (/** @type {NodeJS.Signals} */ signal) => void child.kill(signal);
    const fromTerminal = hasTerminal() ? ignore : forward;
    const handlers = /** @type {const} */ ([
      ['SIGINT', fromTerminal],
      ['SIGQUIT', fromTerminal],
      ['SIGTERM', forward],
      ['SIGHUP', forward],
    ]);
    for (const [signal, handler] of handlers) process.on(signal, handler);
    const restore = () => {
      for (const [signal, handler] of handlers) process.off(signal, handler);
    };
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
        stderr.write(crashMessage(signal));
        resolve(crashExitCode);
      } else resolve(signal ? 128 + constants.signals[signal] : (code ?? 1));
    });
  });
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

/** @param {string} signal */
function crashMessage(signal) {
  return (
    `error DRIVER_CRASH: the process died by ${signal} inside native code. A software adapter does this when memory runs out.\n` +
    '  hint: the last checkpoint is whole; go on with `reasongen resume <run directory>`, with more free memory or smaller batches (`reasongen check` prints what a preset needs)\n'
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
