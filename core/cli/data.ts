import { type Command, InvalidArgumentError } from 'commander';
import type { LeaksOptions, PromptsOptions, RationalesOptions } from '../commands/data.ts';
import type { Act } from './act.ts';
import { collect, newFolder, someNumber, wholeNumber } from './arguments.ts';

/** `data`: prompts, rationales, and whether what is trained on is what is measured by. */
export function addDataCommands(commandLine: Command, act: Act): void {
  const data = commandLine
    .command('data')
    .description('make prompts and rationales, and look for benchmark prompts among those trained on');
  data
    .command('prompts')
    .description("write prompts by GenEval's rules, with what a judge needs to check each")
    .option('--objects <file>', 'a list of objects, one a line, or an ontology in JSON; those of COCO unless given')
    .option('--seed <number>', 'decides every prompt; 43 with 553 prompts is what GenEval has', wholeNumber, 0)
    .option('--count <count>', 'how many prompts, spread over the tasks', someNumber, 500)
    .option(
      '--task <name>',
      'of this task only (repeatable): single_object, two_object, counting, colors, position, color_attr',
      collect,
      [],
    )
    .requiredOption('--out <file>', 'the new file, JSON Lines', newFolder)
    .action((options: PromptsOptions, command: Command) =>
      act(command, async (context) => (await import('../commands/data.ts')).makePrompts(options, context)),
    );
  data
    .command('rationales <file>')
    .description(
      'have a model behind a chat endpoint write a rationale for every prompt; says first what that will take',
    )
    .requiredOption('--url <address>', 'the endpoint up to its version, such as http://localhost:8000/v1')
    .requiredOption('--model <name>', 'the model, as the endpoint calls it')
    .requiredOption(
      '--out <file>',
      'the rows, JSON Lines as the dataset caption-data reads them; gone on with when it is there',
      newFolder,
    )
    .option('--instruction <text>', 'what is asked; {prompt} stands for the prompt')
    .option('--max-tokens <count>', 'longest rationale', wholeNumber, 256)
    .option('--at-once <count>', 'requests under way at a time', wholeNumber, 8)
    .option('--key-variable <name>', 'environment variable with the key of the endpoint')
    .option('--price-read <number>', 'price of a million tokens read, for the estimate', price)
    .option('--price-written <number>', 'price of a million tokens written, for the estimate', price)
    .option('-y, --yes', 'ask; without it only the estimate is made')
    .action((prompts: string, options: RationalesOptions, command: Command) =>
      act(command, async (context) => (await import('../commands/data.ts')).makeRationales(prompts, options, context)),
    );
  data
    .command('leaks <training-file> <benchmarks...>')
    .description(
      'find prompts of benchmarks (files, or names such as geneval) among those trained on; ends with 1 where there are any',
    )
    .option('--near <share>', 'least similarity of prompts that count as nearly the same, 0 to 1', share, 0.65)
    .option('--json', 'print JSON, for programs')
    .action((training: string, benchmarks: string[], options: LeaksOptions, command: Command) =>
      act(command, async (context) =>
        (await import('../commands/data.ts')).lookForLeaks(training, benchmarks, options, context),
      ),
    );
}

function share(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 1)) throw new InvalidArgumentError('It must be a number above 0, at most 1.');
  return value;
}

function price(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0)) throw new InvalidArgumentError('It must be a number.');
  return value;
}
