import type { StopRequest } from './contracts/recipe.ts';
import { exitCodes } from './errors.ts';

/** A stop request that remembers the exit code it was made with. */
export interface RunStop extends StopRequest {
  readonly exitCode: number;
}

/** @param above a stop of several runs, which is one of each of them */
export function createStop(above?: RunStop): RunStop {
  let made: { readonly reason: string; readonly exitCode: number } | undefined;
  const waiting = new Set<() => void>();
  return {
    heard: (listener) => {
      let isTold = false;
      const tell = (): void => {
        if (!isTold) listener();
        isTold = true;
      };
      if (made !== undefined) tell();
      waiting.add(tell);
      const endAbove = above?.heard(tell);
      return () => {
        waiting.delete(tell);
        endAbove?.();
      };
    },
    get requested() {
      return made !== undefined || above?.requested === true;
    },
    get reason() {
      return made?.reason ?? above?.reason ?? '';
    },
    get exitCode() {
      return made?.exitCode ?? above?.exitCode ?? exitCodes.done;
    },
    agree: () => Promise.resolve(),
    request(reason, exitCode) {
      if (made !== undefined) return;
      made = { reason, exitCode };
      for (const listener of waiting) listener();
    },
  };
}
