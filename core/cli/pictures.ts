import { type Command, Option } from 'commander';
import type { AskOptions } from '../commands/ask.ts';
import type { GenerateOptions } from '../commands/generate.ts';
import type { ServeCommandOptions } from '../commands/serve.ts';
import { collect, newFolder, portNumber, wholeNumber } from './arguments.ts';
import type { Act } from './act.ts';

/** Commands that use a model: draw, answer questions about pictures, and do both for other programs. */
export function addPictureCommands(commandLine: Command, act: Act): void {
  commandLine
    .command('generate')
    .description('draw pictures for prompts')
    .option('--preset <preset>', 'a preset (a file or PACKAGE/NAME), or a run directory, whose newest weights are used')
    .option('--model <folder>', 'instead of a preset: a published model (a folder, or hub:OWNER/NAME), or a run')
    .option('--prompt <text>', 'what to draw (repeatable)', collect, [])
    .option(
      '--rationale <text>',
      'the rationale to draw by, instead of one the model writes (once, or once for each --prompt)',
      collect,
    )
    .option('--no-rationale', 'draw without any rationale')
    .option(
      '--layout <benchmark>',
      "instead of --prompt: draw a benchmark's prompts, into the folders that its original scorer reads",
    )
    .option('--count <count>', 'drawings for each prompt', wholeNumber)
    .addOption(new Option('--n <count>', 'another name of --count').argParser(wholeNumber).hideHelp())
    .option('--best-of <count>', 'draw so many for each picture and keep the best, by the reward --judge', wholeNumber)
    .option('--judge <reward>', 'the reward that chooses: one of the preset, or any by its name')
    .option('--seed <number>', 'decides every random number', wholeNumber)
    .option(
      '--out <directory>',
      'where pictures and rationales go; goes on with what is missing when it holds the same run already',
      newFolder,
    )
    .option('--weights <path>', 'a checkpoint, a run directory or a .safetensors file')
    .action(({ n, ...options }: GenerateOptions & { readonly n?: number }, command: Command) =>
      act(command, async (context) =>
        (await import('../commands/generate.ts')).generate(
          n === undefined ? options : { count: n, ...options },
          context,
        ),
      ),
    );
  commandLine
    .command('ask <question>')
    .description('ask a model about pictures')
    .option('--image <file>', 'a picture the question is about (repeatable)', collect, [])
    .option('--turn <question>', 'a further question, asked when the one before is answered (repeatable)', collect, [])
    .option(
      '--turns <file>',
      'a file with further questions: text with one a line, or JSON or a table with a "question"',
    )
    .option('--preset <preset>', 'a preset (a file or PACKAGE/NAME), or a run directory, whose newest weights are used')
    .option('--model <folder>', 'instead of a preset: a published model (a folder, or hub:OWNER/NAME), or a run')
    .option('--seed <number>', 'decides every random number', wholeNumber)
    .option('--out <directory>', 'where the record of the answers goes', newFolder)
    .option('--weights <path>', 'a checkpoint, a run directory or a .safetensors file')
    .action((question: string, options: AskOptions, command: Command) =>
      act(command, async (context) => (await import('../commands/ask.ts')).ask(question, options, context)),
    );
  commandLine
    .command('serve')
    .description("answer and draw for programs that speak OpenAI's protocol, until ^C")
    .option(
      '--model <folder>',
      'a published model (a folder, or hub:OWNER/NAME), or a run, whose newest weights are used',
    )
    .option('--preset <preset>', 'instead of --model: a preset (a file or PACKAGE/NAME)')
    .option('--name <text>', 'what requests call the model; that of the folder or the hub unless told')
    .option('--port <number>', 'port to listen on; 8760 unless told, 0 takes any that is free', portNumber)
    .option(
      '--host <address>',
      'address to listen on; 127.0.0.1 unless told, and beyond this machine (0.0.0.0) the token in REASONGEN_SERVE_TOKEN is demanded',
    )
    .option('--weights <path>', 'a checkpoint, a run directory or a .safetensors file')
    .action((options: ServeCommandOptions, command: Command) =>
      act(command, async (context) => (await import('../commands/serve.ts')).serveModel(options, context)),
    );
}
