/** Trying again where a connection or a server failed. */
import { setTimeout as wait } from 'node:timers/promises';
import { exitCodes, ReasongenError } from '../../errors.ts';

/** The connection or the server failed; trying again may help. */
export class BrokenTransfer extends Error {
  /** What the server asks to wait. */
  readonly seconds: number | undefined;
  /** Whether something arrived before it broke. */
  readonly isProgress: boolean;

  constructor(
    message: string,
    options: { readonly seconds?: number | undefined; readonly isProgress?: boolean; readonly cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = 'BrokenTransfer';
    this.seconds = options.seconds;
    this.isProgress = options.isProgress ?? false;
  }
}

export interface Persistence {
  readonly warn: (message: string) => void;
  /** Seconds before the second try; doubled each time. 1 unless told. */
  readonly pause?: number | undefined;
}

/** Tries in a row that bring nothing. */
const fruitlessTries = 6;

/** Does `work` until it succeeds, fails for good, or has brought nothing several times in a row: then throws HUB_UNREACHABLE. */
export async function persistently<Result>(
  what: string,
  work: () => Promise<Result>,
  { warn, pause = 1 }: Persistence,
): Promise<Result> {
  for (let tries = 0; ;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof BrokenTransfer)) throw error;
      tries = error.isProgress ? 1 : tries + 1;
      if (tries >= fruitlessTries) {
        throw new ReasongenError({
          code: 'HUB_UNREACHABLE',
          message: `${error.message}; ${tries} tries in a row brought nothing of ${what}`,
          hint: 'check the connection and --hub-url, and pull again: it goes on where it stopped',
          exitCode: exitCodes.disk,
          cause: error,
        });
      }
      const seconds = error.seconds ?? pause * 2 ** (tries - 1);
      warn(`${error.message}; trying ${what} again in ${seconds} s`);
      await wait(seconds * 1000);
    }
  }
}
