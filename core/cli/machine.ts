import type { Command } from 'commander';
import type { VerifyOptions } from '../commands/verify-device.ts';
import type { Act } from './act.ts';

/** Commands about this machine. */
export function addMachineCommands(commandLine: Command, act: Act): void {
  commandLine
    .command('doctor')
    .description('tell what this machine has for computing, and how to get what is missing')
    .action((_options, command: Command) =>
      act(command, async (context) => (await import('../commands/doctor.ts')).doctor(context)),
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
