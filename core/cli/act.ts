/** What the declarations of commands hand over when one is chosen. */
import type { Command } from 'commander';
import type { CommandContext } from '../commands/context.ts';

/** Does the work of a command that was chosen; `work` returns the exit code. */
export type Act = (command: Command, work: (context: CommandContext) => Promise<number>) => Promise<void>;
