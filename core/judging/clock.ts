/** Time and chance as calls know them; a test has its own. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface Clock {
  /** Milliseconds; only differences count. The time of day is none: somebody may set it back. */
  now(): number;
  /** Throws the reason of the signal once it is aborted. */
  wait(milliseconds: number, signal: AbortSignal): Promise<void>;
  /** From 0 to 1. */
  chance(): number;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  wait: async (milliseconds, signal) => {
    await sleep(milliseconds, undefined, { signal }).catch(() => signal.throwIfAborted());
  },
  chance: () => Math.random(),
};

/** What the work gives, or the reason of the signal as soon as that is aborted, whatever the work does then. */
export async function unlessAborted<Value>(work: Promise<Value>, signal: AbortSignal): Promise<Value> {
  // It may fail when nobody listens: before this is waited for, or later.
  work.catch(() => undefined);
  signal.throwIfAborted();
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason as Error);
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
