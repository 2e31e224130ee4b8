/** Nothing in a path stands for something else: `~` and variables are the shell's, and a preset is read without one. */
import { PresetError } from './errors.ts';

/** `$NAME` or `${NAME}`. */
export const shellVariable = /\$\{[^}]*\}|\$[A-Za-z_]\w*/;

const unexpanded = new RegExp(String.raw`^~[^/\\]*(?=[/\\]|$)|${shellVariable.source}|%[A-Za-z_]\w*%`);

/** What of a path would have to be expanded first: `~`, `$NAME`, `${NAME}` or `%NAME%`; undefined when it is a plain path. */
export function unexpandedPart(path: string): string | undefined {
  return unexpanded.exec(path)?.[0];
}

/** `*`, `?` and `[…]` of a pattern that no shell has filled in, because nothing fits it or it was quoted. */
function patternPart(path: string): string | undefined {
  return /[*?]|\[[^\]]+\]/.exec(path)?.[0];
}

/** The error for such a path, where nothing lies under exactly that name; `place` is where it is written. */
export function unexpandedPath(path: string, place: string | undefined): PresetError | undefined {
  const part = unexpandedPart(path) ?? patternPart(path);
  if (part === undefined) return undefined;
  return new PresetError({
    code: 'NOT_EXPANDED',
    message: `"${path}" has ${part} in it, and paths are taken as they stand: neither ~ nor variables nor patterns are expanded`,
    place,
    hint: 'write the absolute path, or one relative to the file in which it is written; on a command line, leave out the quotes so that the shell expands it',
  });
}
