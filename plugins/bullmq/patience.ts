/** Waiting for what is away, and for how long. */
import type { Log } from '../../core/plugin.ts';

export interface PatienceOptions {
  /** After so many of them without success the wait is over. */
  readonly seconds: number;
  readonly log: Pick<Log, 'info' | 'warn'>;
  /** What failed, in words; also decides what ends the wait at once. */
  readonly explain: (error: unknown) => Error;
  readonly mayPass: (error: unknown) => boolean;
  readonly signal: AbortSignal;
}

/** Milliseconds between two tries. */
const between = 500;

/** Tries work again while the failure may pass. What waits is told once, and that it goes on. */
export class Patience {
  private readonly options: PatienceOptions;
  private isWaiting = false;

  constructor(options: PatienceOptions) {
    this.options = options;
  }

  /** Work that may be done more than once. Rejects with the explained failure when it cannot pass, or has not in time. */
  async with<Value>(work: () => Promise<Value>): Promise<Value> {
    const { seconds, log, explain, mayPass, signal } = this.options;
    let since: number | undefined;
    for (;;) {
      try {
        const value = await work();
        if (since !== undefined && this.isWaiting) {
          this.isWaiting = false;
          log.info('the queue is back');
        }
        return value;
      } catch (error) {
        since ??= performance.now();
        if (!mayPass(error) || signal.aborted || performance.now() - since > seconds * 1000) throw explain(error);
        if (!this.isWaiting) {
          this.isWaiting = true;
          log.warn(`${explain(error).message}; waiting for at most ${seconds} s`);
        }
        await pause(between, signal);
      }
    }
  }
}

/** Resolves after so many milliseconds, or when the signal is given. */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal.addEventListener('abort', end);
  });
}
