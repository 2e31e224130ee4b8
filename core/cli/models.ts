import { type Command, Option } from 'commander';
import type { ExportOptions } from '../commands/export.ts';
import type { PullCommandOptions } from '../commands/pull.ts';
import { byteCount, collect, newFolder } from './arguments.ts';
import type { Act } from './act.ts';

/** Commands on published models: fetch one, write one. */
export function addModelCommands(commandLine: Command, act: Act): void {
  commandLine
    .command('export <from>')
    .description('write a run, a checkpoint or a published model as a folder that other programs load')
    .requiredOption('--out <folder>', 'the new folder', newFolder)
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
    .option(
      '--base <folder>',
      'the published model the training began with (a folder, or hub:OWNER/NAME), when the run does not name it',
    )
    .option('--plugin <path or package>', 'a plugin that knows this class of models (repeatable)', collect, [])
    .action((from: string, options: ExportOptions, command: Command) =>
      act(command, async (context) => (await import('../commands/export.ts')).exportModel(from, options, context)),
    );
  commandLine
    .command('pull <model>')
    .description('fetch a model, OWNER/NAME, from a hub into the cache that other programs share')
    .option('--revision <name>', 'branch, tag or commit', 'main')
    .option('--include <pattern>', 'fetch the files that fit, instead of what a model needs (repeatable)', collect, [])
    .addOption(
      new Option('--only <part>', 'config: what tells the sizes of a model, which is enough to plan')
        .choices(['config'])
        .conflicts('include'),
    )
    .option('--hub-url <address>', 'a Hugging-Face-compatible hub; HF_ENDPOINT, or else the public one')
    .option('--offline', 'only look into the cache')
    .action((model: string, options: PullCommandOptions, command: Command) =>
      act(command, async (context) => (await import('../commands/pull.ts')).pull(model, options, context)),
    );
}
