import type { Environment } from '../environment.ts';
import type { Device } from '../gpu/device.ts';
import type { Hooks } from '../hooks.ts';
import type { Log } from '../log.ts';
import type { RunStop } from '../stop.ts';

/** What every command gets from the command line. */
export interface CommandContext {
  /** For the person at the screen: standard error. */
  readonly log: Log;
  /** Results: standard output. */
  readonly write: (text: string) => void;
  /** The same for what must not be scrubbed: a token that was made for the person who reads it. */
  readonly writeSecret: (text: string) => void;
  /** Program and arguments as typed. */
  readonly command: readonly string[];
  /** Texts of `--set`. */
  readonly settings: readonly string[];
  /** `--run-dir` */
  readonly runDirectory: string | undefined;
  readonly environment: Environment;
  /** Instead of the best adapter of the machine, for runs. */
  readonly openDevice?: () => Promise<Device>;
  readonly stop: RunStop;
  /** Aborted when a second signal gives the run up. */
  readonly signal: AbortSignal;
  /** Until the command is told to end: by ^C, SIGTERM or a hang-up. For those that serve; the others end at once then. */
  readonly closed: () => Promise<void>;
  readonly onHooks: (hooks: Hooks) => void;
}
