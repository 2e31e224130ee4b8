/** The command line: arguments, signals, exit codes, and the one place where errors are printed. */
import { readFileSync, realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { ask } from './commands/ask.ts';
import { check } from './commands/check.ts';
import { verifyCheckpoints } from './commands/checkpoint.ts';
import type { CommandContext } from './commands/context.ts';
import { describe } from './commands/describe.ts';
import { doctor } from './commands/doctor.ts';
import { exportModel } from './commands/export.ts';
import { evaluate, generate } from './commands/generate.ts';
import { pull } from './commands/pull.ts';
import { makeReport } from './commands/report.ts';
import { resume, run } from './commands/run.ts';
import { show } from './commands/show.ts';
import { verifyDevice } from './commands/verify-device.ts';
import { exitCodes, formatError } from './errors.ts';
import { explainError } from './failure.ts';
import type { Hooks } from './hooks.ts';
import { createLog, type LogStream } from './log.ts';
import { createStop, type RunStop } from './runtime.ts';

/** Where a command line reads and writes; the process itself unless told. */
export interface CommandLineStreams {
  readonly output: { write(text: string): unknown };
  readonly errors: LogStream & Partial<NodeJS.WriteStream>;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Runs one command and returns its exit code. Throws nothing. */
export async function main(args: readonly string[], streams: CommandLineStreams): Promise<number> {
  const isDebug = args.includes('--debug');
  const log = createLog({ stream: streams.errors, debug: isDebug });
  const stop = createStop();
  const givenUp = new AbortController();
  let exitCode: number = exitCodes.done;
  let hooks: Hooks | undefined;
  let ignoreSignals = (): void => {};
  const act = async (command: Command, work: (context: CommandContext) => Promise<number>): Promise<void> => {
    const { set, runDir } = command.optsWithGlobals<GlobalOptions>();
    // The other commands have nothing to save: the first ^C ends them.
    if (runs.includes(command.name())) ignoreSignals = listenForSignals(stop, givenUp, (text) => log.info(text));
    exitCode = await work({
      log,
      write: (text) => void streams.output.write(text),
      command: ['npx', 'reasongen', ...args],
      settings: set,
      runDirectory: runDir,
      environment: streams.environment,
      stop,
      signal: givenUp.signal,
      onHooks: (current) => {
        hooks = current;
      },
    });
  };
  const program = createProgram(act, streams);
  const onEmptyLoop = (): void => reportHanging(hooks, streams);
  process.once('beforeExit', onEmptyLoop);
  try {
    await program.parseAsync([...args], { from: 'user' });
    return exitCode;
  } catch (error) {
    // Commander has printed its own message. Its code is 0 for help and version.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.badPreset;
    return report(error, isDebug, streams);
  } finally {
    ignoreSignals();
    process.off('beforeExit', onEmptyLoop);
  }
}

const runs = ['run', 'resume', 'generate', 'ask', 'evaluate'];

interface GlobalOptions {
  readonly set: string[];
  readonly runDir?: string;
}

type Act = (command: Command, work: (context: CommandContext) => Promise<number>) => Promise<void>;

function createProgram(act: Act, streams: CommandLineStreams): Command {
  const collect = (value: string, before: string[] = []): string[] => [...before, value];
  const program = new Command('reasongen')
    .description('Teaches image generators to think before they draw.')
    .version(version())
    .option('--set <path=value>', 'change a value of the preset (repeatable): --set recipe.steps=50', collect, [])
    .option('--run-dir <directory>', 'directory of the run; runs/NAME unless given')
    .option('--debug', 'show debug messages, and stacks with errors')
    .showHelpAfterError('(`reasongen help` lists the commands)')
    // Thrown instead of ending the process. Commands inherit this and the streams when they are made.
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void streams.output.write(text),
      writeErr: (text) => void streams.errors.write(text),
    });

  program
    .command('run <preset>')
    .description('run a preset')
    .action((preset: string, _options, command: Command) => act(command, (context) => run(preset, context)));
  program
    .command('resume <directory>')
    .description('go on with a run where it stopped')
    .action((directory: string, _options, command: Command) => act(command, (context) => resume(directory, context)));
  program
    .command('check <preset>')
    .description('find every mistake of a preset, and say what it will do and need')
    .action((preset: string, _options, command: Command) => act(command, (context) => check(preset, context)));
  program
    .command('show <preset>')
    .description('print the resolved preset and where each value came from')
    .action((preset: string, _options, command: Command) => act(command, (context) => show(preset, context)));
  program
    .command('describe [slot] [component]')
    .description('list components and their options')
    .option('--json-schema', 'print the JSON Schema of presets, for editors')
    .option('--plugin <path or package>', 'a plugin to describe as well (repeatable)', collect, [])
    .action((slot: string | undefined, component: string | undefined, options: DescribeFlags, command: Command) =>
      act(command, (context) => describe(slot, component, options, context)),
    );
  program
    .command('generate')
    .description('draw pictures for prompts')
    .option('--preset <file>', 'a preset, or a run directory, whose newest weights are used')
    .option('--model <folder>', 'instead of a preset: the folder of a published model, or hub:OWNER/NAME')
    .option('--prompt <text>', 'what to draw (repeatable)', collect, [])
    .option(
      '--rationale <text>',
      'the rationale to draw by, instead of one the model writes (once, or once for each --prompt)',
      collect,
    )
    .option('--no-rationale', 'draw without any rationale')
    .option('--count <count>', 'drawings for each prompt', wholeNumber)
    .addOption(new Option('--n <count>', 'another name of --count').argParser(wholeNumber).hideHelp())
    .option('--seed <number>', 'decides every random number', wholeNumber)
    .option(
      '--out <directory>',
      'where pictures and rationales go; goes on with what is missing when it holds the same run already',
    )
    .option('--weights <path>', 'a checkpoint, a run directory or a .safetensors file')
    .action(({ n, ...options }: Parameters<typeof generate>[0] & { readonly n?: number }, command: Command) =>
      act(command, (context) => generate(n === undefined ? options : { count: n, ...options }, context)),
    );
  program
    .command('ask <question>')
    .description('ask a model about pictures')
    .option('--image <file>', 'a picture the question is about (repeatable)', collect, [])
    .option('--turn <question>', 'a further question, asked when the one before is answered (repeatable)', collect, [])
    .option('--turns <file>', 'a text file with further questions, one a line')
    .option('--preset <file>', 'a preset, or a run directory, whose newest weights are used')
    .option('--model <folder>', 'instead of a preset: the folder of a published model, or hub:OWNER/NAME')
    .option('--seed <number>', 'decides every random number', wholeNumber)
    .option('--out <directory>', 'where the record of the answers goes')
    .option('--weights <path>', 'a checkpoint, a run directory or a .safetensors file')
    .action((question: string, options: Parameters<typeof ask>[1], command: Command) =>
      act(command, (context) => ask(question, options, context)),
    );
  program
    .command('evaluate <preset>')
    .description('run the benchmarks of a preset or of a run directory')
    .option('--weights <path>', 'a checkpoint, a run directory or a .safetensors file')
    .action((preset: string, options: { readonly weights?: string }, command: Command) =>
      act(command, (context) => evaluate(preset, options.weights, context)),
    );
  program
    .command('report <directory>')
    .description('make report.html of a run again, also while it runs')
    .action((directory: string, _options, command: Command) =>
      act(command, (context) => makeReport(directory, context)),
    );
  program
    .command('checkpoint')
    .description('look at checkpoints')
    .command('verify <path>')
    .description('compare every file of a checkpoint, or of all checkpoints of a run, with its checksum')
    .action((path: string, _options, command: Command) => act(command, (context) => verifyCheckpoints(path, context)));
  program
    .command('export <from>')
    .description('write a run, a checkpoint or a published model as a folder that other programs load')
    .requiredOption('--out <folder>', 'the new folder')
    .addOption(
      new Option('--layout <name>', 'naming of weights and configuration; that of the base unless given').choices([
        'huggingface',
        'original',
      ]),
    )
    .addOption(
      new Option('--dtype <type>', 'how weights are stored; as in the base unless given').choices([
        'f32',
        'f16',
        'bf16',
      ]),
    )
    .option('--max-shard-size <size>', 'largest file of weights, such as 5GB or 500MB', byteCount, 5e9)
    .option('--base <folder>', 'the published model the training began with, when the run does not name it')
    .option('--plugin <path or package>', 'a plugin that knows this class of models (repeatable)', collect, [])
    .action((from: string, options: Parameters<typeof exportModel>[1], command: Command) =>
      act(command, (context) => exportModel(from, options, context)),
    );
  program
    .command('pull <model>')
    .description('fetch a model, OWNER/NAME, from a hub into the cache that other programs share')
    .option('--revision <name>', 'branch, tag or commit', 'main')
    .option('--include <pattern>', 'fetch the files that fit, instead of what a model needs (repeatable)', collect, [])
    .option('--hub-url <address>', 'a Hugging-Face-compatible hub; HF_ENDPOINT, or else the public one')
    .option('--offline', 'only look into the cache')
    .action((model: string, options: Parameters<typeof pull>[1], command: Command) =>
      act(command, (context) => pull(model, options, context)),
    );
  program
    .command('doctor')
    .description('tell what this machine has for computing, and how to get what is missing')
    .action((_options, command: Command) => act(command, doctor));
  program
    .command('verify-device')
    .description('check every op on this adapter against float64, with a verdict for each')
    .option('--only <op>', 'ops whose name contains this')
    .action((options: Parameters<typeof verifyDevice>[0], command: Command) =>
      act(command, (context) => verifyDevice(options, context)),
    );
  return program;
}

type DescribeFlags = Parameters<typeof describe>[2];

function byteCount(text: string): number {
  const [, digits, unit = ''] = /^(\d+(?:\.\d+)?)(KB|MB|GB)?$/i.exec(text) ?? [];
  const bytes = Number(digits) * ({ '': 1, KB: 1e3, MB: 1e6, GB: 1e9 }[unit.toUpperCase()] ?? Number.NaN);
  if (!(bytes >= 1)) throw new InvalidArgumentError('It must be a size such as 5GB.');
  return Math.floor(bytes);
}

function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
}

function version(): string {
  const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    readonly version: string;
  };
  return manifest.version;
}

/** The first signal lets the recipe finish its step and save; the second leaves at once. Returns how to stop listening. */
function listenForSignals(stop: RunStop, givenUp: AbortController, say: (text: string) => void): () => void {
  const listeners = (['SIGINT', 'SIGTERM'] as const).map((signal) => {
    const exitCode = signal === 'SIGINT' ? exitCodes.interrupted : exitCodes.terminated;
    const listener = (): void => {
      if (stop.requested) {
        givenUp.abort();
        process.exit(exitCode);
      }
      stop.request(signal, exitCode);
      say(`${signal}: stopping after this step; once more to stop at once`);
    };
    process.on(signal, listener);
    return () => void process.off(signal, listener);
  });
  return () => {
    for (const ignore of listeners) ignore();
  };
}

function report(error: unknown, isDebug: boolean, streams: CommandLineStreams): number {
  const explained = explainError(error);
  streams.errors.write(`${formatError(explained)}\n`);
  if (isDebug) {
    for (let cause: unknown = explained; cause instanceof Error; cause = cause.cause)
      streams.errors.write(`${cause.stack}\n`);
  }
  return explained.exitCode;
}

/** Nothing is left to wait for and the command has not ended: something it waits for never comes. */
function reportHanging(hooks: Hooks | undefined, streams: CommandLineStreams): void {
  const pending = hooks?.pending() ?? [];
  const what =
    pending.length > 0 ? `these handlers never settled: ${pending.join('; ')}` : 'a promise it waits for never settled';
  streams.errors.write(`NEVER_SETTLED\n  the command cannot go on: ${what}.\n`);
  process.exitCode = exitCodes.failure;
}

async function runProgram(): Promise<void> {
  process.exitCode = await main(process.argv.slice(2), {
    output: process.stdout,
    errors: process.stderr,
    environment: process.env,
  });
}

// Not awaited: when the event loop runs dry, `beforeExit` must still be heard.
if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  void runProgram();
