import { Argument, type Command } from 'commander';
import type { VerifyOptions } from '../commands/verify-device.ts';
import type { Act } from './act.ts';
import { completionScript, shells } from './completion.ts';

/** Commands about this machine. */
export function addMachineCommands(commandLine: Command, act: Act): void {
  commandLine
    .command('doctor')
    .description('tell what this machine has for computing, and how to get what is missing')
    .option('--json', 'print JSON, for programs')
    .action((options: { readonly json?: boolean }, command: Command) =>
      act(command, async (context) => (await import('../commands/doctor.ts')).doctor(context, options)),
    );
  commandLine
    .command('setup')
    .description('make the best Vulkan driver of this machine ready, which other commands do when they need it')
    .action((_options, command: Command) =>
      act(command, async (context) => (await import('../commands/setup.ts')).setup(context)),
    );
  commandLine
    .command('verify-device')
    .description('check every op on this adapter against float64, with a verdict for each')
    .option('--only <op>', 'ops whose name contains this')
    .action((options: VerifyOptions, command: Command) =>
      act(command, async (context) => (await import('../commands/verify-device.ts')).verifyDevice(options, context)),
    );
}

/** `completion`: what lets a shell complete the command line. */
export function addCompletion(commandLine: Command, act: Act): void {
  commandLine
    .command('completion')
    .description('print what lets a shell complete commands and options')
    .addArgument(new Argument('<shell>', 'the shell').choices(shells))
    .addHelpText(
      'after',
      '\nExample:\n  eval "$(reasongen completion bash)"     # in ~/.bashrc; for fish: reasongen completion fish | source',
    )
    .action((shell: (typeof shells)[number], _options, command: Command) =>
      act(command, async ({ write }) => {
        write(completionScript(shell, commandLine));
        return 0;
      }),
    );
}
