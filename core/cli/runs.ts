import type { Command } from 'commander';
import type { CompareCommandOptions } from '../commands/compare.ts';
import type { EvaluateOptions } from '../commands/evaluate.ts';
import type { LaunchOptions } from '../commands/launch.ts';
import type { PageOptions, ResumeOptions } from '../commands/run.ts';
import type { ReplayOptions } from '../commands/replay.ts';
import type { SamplesOptions } from '../commands/samples.ts';
import type { SweepOptions } from '../commands/sweep.ts';
import type { WatchCommandOptions } from '../commands/watch.ts';
import type { Act } from './act.ts';
import { collect, newFolder, portNumber, scaleFactor, settingHelp, someNumber, wholeNumber } from './arguments.ts';

/** Options of the live page. */
const pageHelp = {
  watch: 'serve the live page of the run from a process beside it, and print its address',
  port: 'port of the page; 8750 or the next that is free unless given',
  control: 'buttons on the page that save, stop and draw, for whoever has the token of its address',
};

const noPageOfSweep = 'error: --watch is of a single run; the page of a sweep: npx reasongen watch FOLDER';

/** Commands on a run: start it, go on with it, look at it. */
export function addRunCommands(commandLine: Command, act: Act): void {
  commandLine
    .command('run <preset>')
    .description('run a preset: a file, or one of a package such as reasongen/nano/grpo')
    .option(
      '--sweep <setting>',
      'run it with each of these values in turn: optimizer.learningRate=1e-5,3e-5; several make every combination',
      collect,
      [],
    )
    .option(
      '--seeds <seeds>',
      'run it with each seed: 3 for 0, 1 and 2, or a list such as 1,5; that of the preset unless told',
    )
    .option('--watch', pageHelp.watch)
    .option('--port <number>', pageHelp.port, portNumber)
    .option('--control', pageHelp.control)
    .addHelpText('after', settingHelp)
    .action((preset: string, options: SweepOptions & PageOptions, command: Command) =>
      act(command, async (context) => {
        if (options.sweep.length === 0 && options.seeds === undefined)
          return (await import('../commands/run.ts')).run(preset, context, options);
        if (options.watch === true) command.error(noPageOfSweep);
        return (await import('../commands/sweep.ts')).startSweep(preset, options, context);
      }),
    );
  commandLine
    .command('launch <preset>')
    .description(
      'run a preset, or go on with the run of a directory, over ranks that share its work: processes started by Open MPI',
    )
    .requiredOption('--ranks <number>', 'how many processes train together', someNumber)
    .option('--hostfile <file>', 'the hosts to start them on, as mpirun reads it; this machine unless told')
    .option('--accept-changes', 'go on although plugins, prompts or data have changed since the run began')
    .addHelpText('after', settingHelp)
    .action((preset: string, options: LaunchOptions, command: Command) =>
      act(command, async (context) => (await import('../commands/launch.ts')).launch(preset, options, context)),
    );
  commandLine
    .command('resume <directory>')
    .description('go on with a run, or a sweep, where it stopped')
    .option('--accept-changes', 'go on although plugins, prompts or data have changed since the run began')
    .option('--watch', pageHelp.watch)
    .option('--port <number>', pageHelp.port, portNumber)
    .option('--control', pageHelp.control)
    .addHelpText('after', settingHelp)
    .action((directory: string, options: ResumeOptions, command: Command) =>
      act(command, async (context) => {
        if (!(await import('../sweep/record.ts')).isSweep(directory))
          return (await import('../commands/run.ts')).resume(directory, options, context);
        if (options.watch === true) command.error(noPageOfSweep);
        return (await import('../commands/sweep.ts')).resumeSweep(directory, options, context);
      }),
    );
  commandLine
    .command('evaluate [preset]')
    .description('score a model, a run or a folder of pictures on benchmarks')
    .option('--model <folder>', 'instead of a preset: a published model (a folder, or hub:OWNER/NAME), or a run')
    .option('--pictures <folder>', 'pictures that another tool has drawn, in the folders of the original scorer')
    .option('--benchmark <names>', 'benchmarks, with commas between them, instead of those of the preset')
    .option('--questions <file>', 'questions about pictures, for the benchmark understanding')
    .option('--weights <path>', 'a checkpoint, a run directory or a .safetensors file')
    .option('--judge', 'have the rewards of the preset judge the drawings as well')
    .option(
      '--best-of <count>',
      'draw so many for each picture and keep the best, by the reward --chosen-by',
      wholeNumber,
    )
    .option('--chosen-by <reward>', 'the reward that chooses; it takes no part in the scores')
    .option('--json', 'print JSON, for programs')
    .addHelpText('after', settingHelp)
    .action((preset: string | undefined, options: EvaluateOptions, command: Command) =>
      act(command, async (context) => (await import('../commands/evaluate.ts')).evaluate(preset, options, context)),
    );
  commandLine
    .command('runs [folder]')
    .description('list the runs of a folder: state, step, pass rate, reward, age')
    .option('--json', 'print JSON, for programs')
    .action((folder: string | undefined, options: { readonly json?: boolean }, command: Command) =>
      act(command, async (context) =>
        (await import('../commands/runs.ts')).listRuns(folder ?? 'runs', options, context),
      ),
    );
  commandLine
    .command('watch [folder]')
    .description('serve a page that shows the runs of a folder while they go on: curves, drawings, evaluations')
    .option('--port <number>', pageHelp.port, portNumber)
    .option(
      '--host <address>',
      'address to listen on; beyond this machine (0.0.0.0) the token is demanded',
      '127.0.0.1',
    )
    .option('--token <text>', 'the token of the address instead of a random one, or REASONGEN_WATCH_TOKEN')
    .option('--control', pageHelp.control)
    .action((folder: string | undefined, options: WatchCommandOptions, command: Command) =>
      act(command, async (context) => (await import('../commands/watch.ts')).watch(folder ?? 'runs', options, context)),
    );
  commandLine
    .command('compare <a> <b>')
    .description(
      'say what the second run, evaluation or folder of drawings does better than the first, paired picture by picture',
    )
    .option('--html <file>', 'write a page with the pictures that flipped, side by side', newFolder)
    .option('--json', 'print JSON, for programs')
    .action((a: string, b: string, options: CompareCommandOptions, command: Command) =>
      act(command, async (context) => (await import('../commands/compare.ts')).compareSides(a, b, options, context)),
    );
  commandLine
    .command('samples <directory>')
    .description('put the saved drawings of a step into one picture, a row for each prompt')
    .option('--step <number>', 'the last one that was saved unless told', wholeNumber)
    .option('--scale <factor>', 'size of a pixel; pictures come to some 200 pixels unless told', scaleFactor)
    .option('--out <file>', 'the picture, a PNG; RUN-step-N.png unless told', newFolder)
    .action((directory: string, options: SamplesOptions, command: Command) =>
      act(command, async (context) =>
        (await import('../commands/samples.ts')).showSamples(directory, options, context),
      ),
    );
  commandLine
    .command('replay <directory>')
    .description('draw a saved drawing again, from the last checkpoint before it, and say whether every bit comes back')
    .requiredOption('--step <number>', 'a step whose drawings were saved', wholeNumber)
    .option('--sample <number>', 'which of them, from 0', wholeNumber, 0)
    .action((directory: string, options: ReplayOptions, command: Command) =>
      act(command, async (context) => (await import('../commands/replay.ts')).replay(directory, options, context)),
    );
  commandLine
    .command('sync <directory>')
    .description('tell the trackers of a run that is not going what they could not be told')
    .action((directory: string, _options, command: Command) =>
      act(command, async (context) => (await import('../commands/sync.ts')).sync(directory, context)),
    );
  commandLine
    .command('report <directory>')
    .description('make report.html of a run again, also while it runs')
    .action((directory: string, _options, command: Command) =>
      act(command, async (context) => (await import('../commands/report.ts')).makeReport(directory, context)),
    );
  commandLine
    .command('checkpoint')
    .description('look at checkpoints')
    .command('verify <path>')
    .description('compare every file of a checkpoint, or of all checkpoints of a run, with its checksum')
    .action((path: string, _options, command: Command) =>
      act(command, async (context) => (await import('../commands/checkpoint.ts')).verifyCheckpoints(path, context)),
    );
}
