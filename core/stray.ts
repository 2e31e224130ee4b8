/**
 * What a plugin does to the process around it: an error where nobody waits for it, in a timer or in a promise it forgot; a call of
 * `process.exit`; an answer that never comes. None of these ends a run where it stands: the run ends as it does when a component throws.
 */
import { thrownAt } from './blame.ts';
import { reasonOf, ReasongenError } from './errors.ts';
import { giveUpWaiting } from './waiting.ts';

/** Says whose it is: whoever is waited for when it comes need not have anything to do with it. */
export class StrayError extends ReasongenError {
  constructor(cause: unknown) {
    super({
      code: 'PLUGIN_THREW',
      message: `${reasonOf(cause)} (thrown where nobody waits for it: in a timer, or in a promise that nobody awaits)`,
      place: thrownAt(cause),
      hint: 'mend the plugin, then resume the run; --debug shows the whole stack',
      cause,
    });
  }
}

/** Ends the process at once, whatever a plugin may call. */
export const leave = process.exit.bind(process);
/** A process has one way out, and several command lines may run in it. */
const watching = new Set<symbol>();

export interface StrayWatch {
  /** The first error that strayed. */
  readonly stray: StrayError | undefined;
  /** Ends the watch. */
  end(): void;
}

/**
 * Hears errors that stray until the watch is ended, and turns calls of `process.exit` into errors of who calls. `onStray` is told of the first;
 * `onDefect` of one that comes from no plugin: nothing that the program does after it is to be trusted.
 */
export function watchStrays(onStray: (error: StrayError) => void, onDefect: (error: unknown) => unknown): StrayWatch {
  const watch = Symbol('watch');
  let stray: StrayError | undefined;
  const hear = (error: unknown): void => {
    if (error instanceof Error && thrownAt(error) === undefined && !isRejection(error)) {
      onDefect(error);
      return;
    }
    const own = new StrayError(error);
    giveUpWaiting(own);
    if (stray !== undefined) return;
    stray = own;
    onStray(own);
  };
  // Node hands rejections that nobody handles to the same listener.
  process.on('uncaughtException', hear);
  watching.add(watch);
  process.exit = (code): never => {
    throw new Error(`it called process.exit(${code ?? ''}), which would end the run unsaved: throw an error instead`);
  };
  return {
    get stray() {
      return stray;
    },
    end() {
      process.off('uncaughtException', hear);
      watching.delete(watch);
      if (watching.size === 0) process.exit = leave;
    },
  };
}

/** Of something that is no error: it does not say where it comes from. */
function isRejection(error: Error): boolean {
  return 'code' in error && error.code === 'ERR_UNHANDLED_REJECTION';
}
