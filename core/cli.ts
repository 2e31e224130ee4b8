/** The command line: a command's context, signals, exit codes, and the one place where errors are printed. `cli/` holds the commands. */
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Command, CommanderError } from 'commander';
import { type Environment, processEnvironment } from './environment.ts';
import { onLostSupervisor } from './supervisor.ts';
import { createCommandLine, type GlobalOptions } from './cli/command-line.ts';
import type { Act } from './cli/act.ts';
import { errorRecord, exitCodes, formatError, printable, problemsOf, type ReasongenError } from './errors.ts';
import { leave, type StrayWatch, watchStrays } from './stray.ts';
import { giveUpNewest } from './waiting.ts';
import { scrub, scrubbedJson } from './scrub.ts';
import type { Device } from './gpu/device.ts';
import type { Hooks } from './hooks.ts';
import type { LogStream } from './log.ts';
import { isFirstRank, launchedAs, rankName } from './ranks/launched.ts';
import { outliveReaders } from './setup/standard-streams.mjs';
import { createStop, type RunStop } from './stop.ts';

/** Where a command line reads and writes; the process itself unless told. */
export interface CommandLineStreams {
  readonly output: { write(text: string): unknown };
  readonly errors: LogStream;
  readonly environment: Environment;
  /** Instead of the best adapter of the machine, for runs. */
  readonly openDevice?: () => Promise<Device>;
}

/** Runs one command and returns its exit code. Throws nothing. */
export async function main(args: readonly string[], streams: CommandLineStreams): Promise<number> {
  const isDebug = args.includes('--debug');
  const stop = createStop();
  const givenUp = new AbortController();
  let exitCode: number = exitCodes.done;
  let hooks: Hooks | undefined;
  let hasWritten = false;
  let watch: StrayWatch | undefined;
  let ignoreSignals = (): void => {};
  const act: Act = async (command: Command, work) => {
    const { createLog } = await import('./log.ts');
    const log = createLog({ stream: isFollower(streams.environment) ? nowhere : streams.errors, debug: isDebug });
    const { set, runDir } = command.optsWithGlobals<GlobalOptions>();
    // The other commands have nothing to save: the first ^C ends them.
    ignoreSignals = runs.includes(command.name())
      ? listenForSignals(stop, givenUp, streams.environment, {
          stopping: servers.includes(command.name()) ? 'finishing what has begun' : 'stopping after this step',
          say: (text) => log.info(text),
        })
      : onLostSupervisor(streams.environment, () => leave(exitCodes.terminated));
    const endWith = async (error: unknown): Promise<void> => leave((await report(error, isDebug, streams)).exitCode);
    watch = watchStrays((error) => {
      stop.request(`an error that nobody caught: ${error.message}`, exitCodes.failure);
      // The others look at no stop.
      if (!runs.includes(command.name())) void endWith(error);
    }, endWith);
    exitCode = await work({
      log,
      write: (text) => {
        hasWritten = true;
        if (!isFollower(streams.environment)) streams.output.write(printable(scrub(text)));
      },
      writeSecret: (text) => {
        hasWritten = true;
        streams.output.write(text);
      },
      command: ['npx', 'reasongen', ...args],
      settings: set,
      runDirectory: runDir,
      environment: streams.environment,
      ...(streams.openDevice !== undefined && { openDevice: streams.openDevice }),
      stop,
      signal: givenUp.signal,
      closed: () => untilTold(streams.environment),
      onHooks: (current) => {
        hooks = current;
      },
    });
  };
  const commandLine = createCommandLine(act, streams);
  const onEmptyLoop = (): void => {
    const never = new Error('its answer never came, and nothing is left that it could wait for');
    // Heard once more if something else is waited for that does not come either.
    if (giveUpNewest(never)) setImmediate(() => {});
    else reportHanging(hooks, streams);
  };
  process.on('beforeExit', onEmptyLoop);
  try {
    await commandLine.parseAsync([...args], { from: 'user' });
    if (watch?.stray !== undefined) throw watch.stray;
    return exitCode;
  } catch (error) {
    // Commander has printed its own message. Its code is 0 for help and version.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.badPreset;
    if (stop.requested && watch?.stray === undefined && (await isOfPlugins(error))) {
      streams.errors.write(`stopped: ${stop.reason}, before anything had begun\n`);
      return stop.exitCode;
    }
    const explained = await report(error, isDebug, streams);
    // A program that asked for JSON gets some, whatever happens.
    if (args.includes('--json') && !hasWritten) {
      const errors = problemsOf(explained).map(errorRecord);
      streams.output.write(`${scrubbedJson({ ok: false, errors }, 2)}\n`);
    }
    return explained.exitCode;
  } finally {
    watch?.end();
    ignoreSignals();
    process.off('beforeExit', onEmptyLoop);
  }
}

/** Whether plugins could not be imported, and nothing else: a ^C while they are loaded ends what compiles them, too. */
async function isOfPlugins(error: unknown): Promise<boolean> {
  const { explainError } = await import('./failure.ts');
  return problemsOf(explainError(error)).every(({ code }) => code === 'PLUGIN_FAILED');
}

/** One of several processes that train together, and not the first, which speaks for all: only errors are its own. */
function isFollower(environment: Environment): boolean {
  try {
    return !isFirstRank(environment);
  } catch {
    // The run says what is wrong with how it was started.
    return false;
  }
}

function nameIn(environment: Environment): string {
  const launched = launchedAs(environment);
  return launched === undefined ? '' : rankName(launched);
}

const nowhere: LogStream = { write: () => true };

const runs = ['run', 'launch', 'resume', 'replay', 'generate', 'ask', 'serve', 'evaluate', 'worker'];

/** Those that take no steps, and work for whoever asks. */
const servers = ['serve', 'worker'];

/** A terminal, npm and the supervisor each send or pass on what was meant as one signal; copies come within so many milliseconds. */
const copiesWithin = 300;

/**
 * The first signal lets the recipe finish its step and save; a second ^C or SIGTERM leaves at once. A hang-up may come any number of times,
 * because nobody types it. Returns how to stop listening.
 */
function listenForSignals(
  stop: RunStop,
  givenUp: AbortController,
  environment: CommandLineStreams['environment'],
  { stopping, say }: { readonly stopping: string; readonly say: (text: string) => void },
): () => void {
  let lastAt = -Infinity;
  let asked = 0;
  const hear = (signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP' | 'SIGUSR2', exitCode: number): void => {
    const now = performance.now();
    if (now - lastAt < copiesWithin) return;
    lastAt = now;
    if (signal !== 'SIGHUP' && signal !== 'SIGUSR2' && ++asked > 1) {
      givenUp.abort();
      leave(exitCode);
    }
    stop.request(signal, exitCode);
    say(`${signal}: ${stopping}${asked > 0 ? '; once more to stop at once' : ''}`);
  };
  const hungUp = environment['REASONGEN_NOHUP'] === '1' ? [] : [['SIGHUP', exitCodes.hungUp] as const];
  // mpirun passes SIGUSR2 on to every rank and takes the others for itself; schedulers send it before the time is up.
  const signals = [
    ['SIGINT', exitCodes.interrupted] as const,
    ['SIGTERM', exitCodes.terminated] as const,
    ['SIGUSR2', exitCodes.terminated] as const,
    ...hungUp,
  ];
  const ends = signals.map(([signal, exitCode]): (() => void) => {
    const listener = (): void => hear(signal, exitCode);
    process.on(signal, listener);
    return () => void process.off(signal, listener);
  });
  ends.push(
    onLostSupervisor(environment, () => {
      stop.request('its supervisor was killed', exitCodes.terminated);
      say(`the process above this one is gone: ${stopping}`);
    }),
  );
  return () => {
    for (const end of ends) end();
  };
}

/** Until this process is asked to end, or the one above it has. */
async function untilTold(environment: CommandLineStreams['environment']): Promise<void> {
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve());
    onLostSupervisor(environment, resolve);
  });
}

async function report(error: unknown, isDebug: boolean, streams: CommandLineStreams): Promise<ReasongenError> {
  const { explainError } = await import('./failure.ts');
  const explained = explainError(error);
  const who = isFollower(streams.environment) ? `${nameIn(streams.environment)}: ` : '';
  streams.errors.write(`${who}${formatError(explained)}\n`);
  if (isDebug) {
    for (let cause: unknown = explained; cause instanceof Error; cause = cause.cause)
      streams.errors.write(`${scrub(cause.stack ?? cause.message)}\n`);
  }
  return explained;
}

/** Nothing is left to wait for and the command has not ended: something it waits for never comes. */
function reportHanging(hooks: Hooks | undefined, streams: CommandLineStreams): void {
  const pending = hooks?.pending() ?? [];
  const what =
    pending.length > 0 ? `these handlers never settled: ${pending.join('; ')}` : 'a promise it waits for never settled';
  streams.errors.write(`NEVER_SETTLED\n  the command cannot go on: ${what}.\n`);
  process.exitCode = exitCodes.failure;
}

/** The command line of this process. Returns the exit code. */
export function runProgram(args: readonly string[]): Promise<number> {
  outliveReaders();
  return main(args, { output: process.stdout, errors: process.stderr, environment: processEnvironment });
}

async function setExitCode(): Promise<void> {
  process.exitCode = await runProgram(process.argv.slice(2));
  // A timer or a connection that a plugin has forgotten keeps no command from ending.
  setTimeout(() => leave(), patience).unref();
}

/** Milliseconds that are left to what a command has begun and does not wait for. */
const patience = 2000;

// Not awaited: when the event loop runs dry, `beforeExit` must still be heard.
if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  void setExitCode();
