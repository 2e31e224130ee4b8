import type { Environment } from '../environment.ts';
import type { Hooks } from '../hooks.ts';
import type { Log } from '../log.ts';
import type { RunStop } from '../stop.ts';

/** What every command gets from the command line. */
export interface CommandContext {
  /** For the person at the screen: standard error. */
  readonly log: Log;
  /** Results: standard output. */
  readonly write: (text: string) => void;
  /** Program and arguments as typed. */
  readonly command: readonly string[];
  /** Texts of `--set`. */
  readonly settings: readonly string[];
  /** `--run-dir` */
  readonly runDirectory: string | undefined;
  readonly environment: Environment;
  readonly stop: RunStop;
  /** Aborted when a second signal gives the run up. */
  readonly signal: AbortSignal;
  readonly onHooks: (hooks: Hooks) => void;
}
