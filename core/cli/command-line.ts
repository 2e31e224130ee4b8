/**
 * The commands and their options. What a command does is imported when it is chosen, so that help and version load none of it: an action
 * hands `act` the work, and the work begins with `import()`.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { packageRoot } from '../setup/cache.mjs';
import type { Act } from './act.ts';
import { collect, newFolder } from './arguments.ts';
import { addMachineCommands } from './machine.ts';
import { addModelCommands } from './models.ts';
import { addPictureCommands } from './pictures.ts';
import { addPresetCommands } from './presets.ts';
import { addRunCommands } from './runs.ts';

/** Options that every command takes. */
export interface GlobalOptions {
  readonly set: string[];
  readonly runDir?: string;
}

export interface CommandLineOutput {
  readonly output: { write(text: string): unknown };
  readonly errors: { write(text: string): unknown };
}

export function createCommandLine(act: Act, streams: CommandLineOutput): Command {
  const commandLine = new Command('reasongen')
    .description('Teaches image generators to think before they draw.')
    .version(version())
    .option(
      '--set <path=value>',
      'change a value of the preset, or add to a list with += (repeatable): --set recipe.steps=50',
      collect,
      [],
    )
    .option('--run-dir <directory>', 'directory of the run; runs/NAME unless given', newFolder)
    .option('--debug', 'show debug messages, and stacks with errors')
    .showHelpAfterError('(`reasongen help` lists the commands)')
    // Thrown instead of ending the process. Commands inherit this and the streams when they are made.
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => void streams.output.write(text),
      writeErr: (text) => void streams.errors.write(text),
    });
  addRunCommands(commandLine, act);
  addPresetCommands(commandLine, act);
  addPictureCommands(commandLine, act);
  addModelCommands(commandLine, act);
  addMachineCommands(commandLine, act);
  return commandLine;
}

function version(): string {
  const manifest = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as {
    readonly version: string;
  };
  return manifest.version;
}
