import type { StopRequest } from './contracts/recipe.ts';
import { exitCodes } from './errors.ts';

/** A stop request that remembers the exit code it was made with. */
export interface RunStop extends StopRequest {
  readonly exitCode: number;
}

export function createStop(): RunStop {
  let made: { readonly reason: string; readonly exitCode: number } | undefined;
  return {
    get requested() {
      return made !== undefined;
    },
    get reason() {
      return made?.reason ?? '';
    },
    get exitCode() {
      return made?.exitCode ?? exitCodes.done;
    },
    request(reason, exitCode) {
      made ??= { reason, exitCode };
    },
  };
}
