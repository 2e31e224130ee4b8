import { type Command, Option } from 'commander';
import type { CheckOptions } from '../commands/check.ts';
import type { CreateCommandOptions } from '../commands/create.ts';
import type { DescribeOptions } from '../commands/describe.ts';
import type { InitOptions } from '../commands/init.ts';
import { collect, settingHelp, someNumber } from './arguments.ts';
import type { Act } from './act.ts';

/** Those of `gpu/known-adapters.ts`, which help does without. */
export const cards = ['h100', 'a100', '4090', 'mi300', 'arc', 'apple'];

/** Commands about presets: a new one with a reward of one's own, what one says, and what one may say. */
export function addPresetCommands(commandLine: Command, act: Act): void {
  commandLine
    .command('init [folder]')
    .description('write a folder with a reward of your own, its test, and a preset that trains with it')
    .addOption(
      new Option('--model <name>', 'what is trained; nano unless told').choices([
        'nano',
        'janus-pro-1b',
        'janus-pro-7b',
      ]),
    )
    .option('--reward <name>', "name of your reward; the folder's unless told")
    .option('--data <file>', 'prompts, one a line or JSON Lines; those of the model unless told, or none')
    .option('-y, --yes', 'ask nothing: the defaults for what no option says')
    .option('--no-install', 'leave `npm install` to you')
    .action((folder: string | undefined, options: InitOptions, command: Command) =>
      act(command, async (context) => (await import('../commands/init.ts')).init(folder, options, context)),
    );
  commandLine
    .command('create <kind> <name>')
    .description(
      'write a package with a component of your own, which builds and has its tests: reward, judge, dataset, benchmark, extension, optimizer or backbone',
    )
    .option('--no-install', 'leave `npm install` to you')
    .action((kind: string, name: string, options: CreateCommandOptions, command: Command) =>
      act(command, async (context) => (await import('../commands/create.ts')).create(kind, name, options, context)),
    );
  commandLine
    .command('check <preset>')
    .description('find every mistake of a preset, and say what it will do and need')
    .addHelpText('after', settingHelp)
    .option('--json', 'print JSON, for programs')
    .addOption(new Option('--adapter <card>', 'plan for a card that another machine has').choices(cards))
    .option('--ranks <number>', 'plan for one of so many ranks that share the work', someNumber)
    .option('--cluster <file>', 'simulate its steps on the cluster of a file: seconds, idle shares, the best split')
    .action((preset: string, options: CheckOptions, command: Command) =>
      act(command, async (context) => (await import('../commands/check.ts')).check(preset, context, options)),
    );
  commandLine
    .command('show <preset>')
    .description('print the resolved preset and where each value came from')
    .addHelpText('after', settingHelp)
    .action((preset: string, _options, command: Command) =>
      act(command, async (context) => (await import('../commands/show.ts')).show(preset, context)),
    );
  commandLine
    .command('describe [slot] [component]')
    .description('list components and their options')
    .option('--json', 'print JSON, for programs')
    .option('--json-schema', 'print the JSON Schema of presets, for editors')
    .option('--plugin <path or package>', 'a plugin to describe as well (repeatable)', collect, [])
    .action((slot: string | undefined, component: string | undefined, options: DescribeOptions, command: Command) =>
      act(command, async (context) =>
        (await import('../commands/describe.ts')).describe(slot, component, options, context),
      ),
    );
  commandLine
    .command('plugins [preset]')
    .description('list the plugins that are installed, and those a preset names: what each provides, from where')
    .option('--json', 'the same for programs')
    .action((preset: string | undefined, options: { readonly json?: boolean }, command: Command) =>
      act(command, async (context) => (await import('../commands/plugins.ts')).plugins(preset, options, context)),
    );
}
