import type { Environment } from '../environment.ts';
import type { WatchOptions } from '../watch/server.ts';

const variable = 'REASONGEN_WATCH_TOKEN';

/** The token of the live page, with what it was told by: an option, or the environment, where one that is set to nothing is not set. */
export function pageToken(environment: Environment, option?: string): Pick<WatchOptions, 'token' | 'tokenFrom'> {
  if (option !== undefined) return { token: option, tokenFrom: '--token' };
  return { token: environment[variable] || undefined, tokenFrom: variable };
}
