import { resolve } from 'node:path';
import { ProblemsError, ReasongenError } from '../errors.ts';

/** What a command's flags become in the preset it makes, and what was typed behind them. */
export interface TypedFlag {
  readonly flag: string;
  /** Path in the preset: `recipe.weights`. */
  readonly path: string;
  /** Undefined when the flag was not given. */
  readonly value: unknown;
}

/** Does the work; an error about the preset that the command made from its flags speaks of the flags instead. */
export async function inWordsOfFlags<T>(flags: readonly TypedFlag[], work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ProblemsError) throw new ProblemsError(error.problems.map((each) => reword(each, flags)));
    throw error instanceof ReasongenError ? reword(error, flags) : error;
  }
}

function reword(error: ReasongenError, flags: readonly TypedFlag[]): ReasongenError {
  const made = /^--set ([\w.]+)=/.exec(error.place ?? '')?.[1];
  const isMade = made !== undefined && flags.some(({ path }) => path === made || path.startsWith(`${made}.`));
  const say = (text: string): string =>
    flags.reduce(
      (said, { flag, path }) =>
        said.replaceAll(new RegExp(`(?<![\\w.])${path.replaceAll('.', '\\.')}(?!\\w|\\[\\d+\\]\\.)`, 'g'), () => flag),
      text,
    );
  // A short value, 0 for instance, may stand in any message.
  const named =
    flags.find(({ path }) => error.message.includes(path)) ??
    flags.find(
      ({ value }) =>
        typeof value === 'string' &&
        value.length > 1 &&
        // A path is resolved before it is looked for.
        [value, resolve(value)].some((each) => error.message.includes(`"${each}"`)),
    );
  if (!isMade) return error;
  const { code, message, hint, exitCode, cause } = error;
  return new ReasongenError({
    code,
    message: say(message),
    place:
      named === undefined
        ? 'the command line'
        : `${named.flag}${named.value === undefined ? '' : ` ${JSON.stringify(named.value)}`}`,
    hint: hint === undefined || hint.startsWith('a path is relative') ? undefined : say(hint),
    exitCode,
    cause,
  });
}
