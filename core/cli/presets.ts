import type { Command } from 'commander';
import type { DescribeOptions } from '../commands/describe.ts';
import { collect } from './arguments.ts';
import type { Act } from './act.ts';

/** Commands about presets: what one says, and what one may say. */
export function addPresetCommands(commandLine: Command, act: Act): void {
  commandLine
    .command('check <preset>')
    .description('find every mistake of a preset, and say what it will do and need')
    .action((preset: string, _options, command: Command) =>
      act(command, async (context) => (await import('../commands/check.ts')).check(preset, context)),
    );
  commandLine
    .command('show <preset>')
    .description('print the resolved preset and where each value came from')
    .action((preset: string, _options, command: Command) =>
      act(command, async (context) => (await import('../commands/show.ts')).show(preset, context)),
    );
  commandLine
    .command('describe [slot] [component]')
    .description('list components and their options')
    .option('--json-schema', 'print the JSON Schema of presets, for editors')
    .option('--plugin <path or package>', 'a plugin to describe as well (repeatable)', collect, [])
    .action((slot: string | undefined, component: string | undefined, options: DescribeOptions, command: Command) =>
      act(command, async (context) =>
        (await import('../commands/describe.ts')).describe(slot, component, options, context),
      ),
    );
}
