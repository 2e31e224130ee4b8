/** Keys for servers: read from the environment, checked before use, and given to the server they are for only. */
import { exitCodes, ReasongenError } from './errors.ts';
import { hide } from './scrub.ts';
import { type Environment, processEnvironment } from './environment.ts';

/**
 * The key in an environment variable; undefined when it is not set. From then on it is masked in everything that is written or shown.
 * Throws BAD_KEY for a value that cannot be a key.
 */
export function keyIn(variable: string, environment: Environment = processEnvironment): string | undefined {
  const value = environment[variable] ?? '';
  hide(value);
  // What a file ends with is no part of a key.
  const key = value.trim();
  if (key === '') return undefined;
  hide(key);
  const wrong = /[^\x21-\x7e]/.exec(key)?.[0];
  if (wrong !== undefined)
    throw new ReasongenError({
      code: 'BAD_KEY',
      message: `the value of ${variable} is no key: it holds ${nameOf(wrong)}`,
      hint: `set ${variable} to the key alone`,
      exitCode: exitCodes.badPreset,
    });
  return key;
}

/** As `keyIn`, to be sent to `url`. Throws KEY_IN_THE_OPEN, too, when others on the way could read it. */
export function readKey(
  variable: string,
  url: string,
  environment: Environment = processEnvironment,
): string | undefined {
  const key = keyIn(variable, environment);
  if (key === undefined) return undefined;
  if (!isPrivate(url))
    throw new ReasongenError({
      code: 'KEY_IN_THE_OPEN',
      message: `the key in ${variable} would be sent over http, where others on the way can read it`,
      place: url,
      hint: `use an address with https, or do without ${variable}`,
      exitCode: exitCodes.badPreset,
    });
  return key;
}

/** As `readKey`, of a variable that somebody has named. Throws NO_KEY when it is not set. */
export function requireKey(variable: string, url: string, environment?: Environment): string {
  const key = environment === undefined ? readKey(variable, url) : readKey(variable, url, environment);
  if (key !== undefined) return key;
  throw new ReasongenError({
    code: 'NO_KEY',
    message: `keyVariable names ${variable}, which is not set`,
    place: url,
    hint: `set ${variable} to the key, or leave keyVariable out where none is wanted`,
    exitCode: exitCodes.badPreset,
  });
}

/** The key for `url`: in the variable that is named, which must be set, or that of OpenAI for OpenAI. With the variable it comes from, for messages. */
export function keyFor(
  url: string,
  keyVariable: string | undefined,
): { readonly key: string | undefined; readonly keyVariable: string | undefined } {
  if (keyVariable !== undefined) return { key: requireKey(keyVariable, url), keyVariable };
  const { protocol, host } = new URL(url);
  const variable = protocol === 'https:' && host === 'api.openai.com' ? 'OPENAI_API_KEY' : undefined;
  return { key: variable === undefined ? undefined : readKey(variable, url), keyVariable: variable };
}

/** Whether nobody on the way can read what is sent: https, or this very machine. */
export function isPrivate(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === 'https:' || isLoopback(hostname);
}

export function isLoopback(hostname: string): boolean {
  return /^(localhost|.*\.localhost|127\.\d+\.\d+\.\d+|\[::1\])$/i.test(hostname);
}

function nameOf(character: string): string {
  if (/[\r\n]/.test(character)) return 'a line break';
  if (/\s/.test(character)) return 'a space';
  return /\p{Cc}/u.test(character) ? 'a control character' : 'a character beyond ASCII';
}
