import type { Command } from 'commander';
import type { CompareCommandOptions } from '../commands/compare.ts';
import type { EvaluateOptions } from '../commands/evaluate.ts';
import type { ResumeOptions } from '../commands/run.ts';
import type { Act } from './act.ts';
import { newFolder, settingHelp, wholeNumber } from './arguments.ts';

/** Commands on a run: start it, go on with it, look at it. */
export function addRunCommands(commandLine: Command, act: Act): void {
  commandLine
    .command('run <preset>')
    .description('run a preset: a file, or one of a package such as reasongen/nano/grpo')
    .addHelpText('after', settingHelp)
    .action((preset: string, _options, command: Command) =>
      act(command, async (context) => (await import('../commands/run.ts')).run(preset, context)),
    );
  commandLine
    .command('resume <directory>')
    .description('go on with a run where it stopped')
    .option('--accept-changes', 'go on although plugins, prompts or data have changed since the run began')
    .addHelpText('after', settingHelp)
    .action((directory: string, options: ResumeOptions, command: Command) =>
      act(command, async (context) => (await import('../commands/run.ts')).resume(directory, options, context)),
    );
  commandLine
    .command('evaluate [preset]')
    .description('score a model, a run or a folder of pictures on benchmarks')
    .option('--model <folder>', 'instead of a preset: a published model (a folder, or hub:OWNER/NAME), or a run')
    .option('--pictures <folder>', 'pictures that another tool has drawn, in the folders of the original scorer')
    .option('--benchmark <names>', 'benchmarks, with commas between them, instead of those of the preset')
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
