import type { Command } from 'commander';
import type { WorkerOptions } from '../commands/worker.ts';
import type { WorkersOptions } from '../commands/workers.ts';
import type { Act } from './act.ts';
import { kindsOfWork, settingHelp } from './arguments.ts';

/** Commands of machines that compute for runs elsewhere. */
export function addWorkerCommands(commandLine: Command, act: Act): void {
  commandLine
    .command('worker <preset>')
    .description('draw and judge for the runs of a preset, or of a run directory, until it is told to end')
    .option(
      '--for <kinds>',
      'draw,judge,evaluate, or some of them; all that the preset leaves to workers unless told',
      kindsOfWork,
    )
    .addHelpText('after', settingHelp)
    .action((preset: string, options: WorkerOptions, command: Command) =>
      act(command, async (context) => (await import('../commands/worker.ts')).worker(preset, options, context)),
    );
  commandLine
    .command('workers <preset>')
    .description('list the workers that serve the queue of a preset, or of a run directory')
    .option('--json', 'print JSON, for programs')
    .action((preset: string, options: WorkersOptions, command: Command) =>
      act(command, async (context) => (await import('../commands/workers.ts')).workers(preset, options, context)),
    );
}
