/** Name patterns that choose parameters: `*` stands for any characters, dots among them; everything else for itself. */
import { ReasongenError, exitCodes, suggest } from '../errors.ts';

/** True when `name` matches one of the patterns. */
export function matcher(patterns: readonly string[]): (name: string) => boolean {
  const expressions = patterns.map((pattern) => new RegExp(`^${pattern.split('*').map(escape).join('.*')}$`));
  return (name) => expressions.some((expression) => expression.test(name));
}

/** Which parameters are trained: those that match `train` and not `freeze`. Throws when a pattern is idle or nothing is left. */
export function chooseTrained(
  names: readonly string[],
  train: readonly string[],
  freeze: readonly string[],
): (name: string) => boolean {
  refuseIdle('recipe.train', train, names);
  refuseIdle('recipe.freeze', freeze, names);
  const [isChosen, isFrozen] = [matcher(train), matcher(freeze)];
  const isTrained = (name: string): boolean => isChosen(name) && !isFrozen(name);
  if (names.some(isTrained)) return isTrained;
  throw new ReasongenError({
    code: 'NOTHING_TRAINED',
    message: 'recipe.train and recipe.freeze together leave no parameter to train',
    hint: 'take a pattern out of recipe.freeze, or widen recipe.train',
    exitCode: exitCodes.badPreset,
  });
}

/** Throws NO_SUCH_PARAMETER for a pattern that chooses none of the names: it is a slip, and would silently train something else. */
export function refuseIdle(option: string, patterns: readonly string[], names: readonly string[]): void {
  for (const pattern of patterns) {
    const matches = matcher([pattern]);
    if (names.some((name) => matches(name))) continue;
    throw new ReasongenError({
      code: 'NO_SUCH_PARAMETER',
      message: `${option}: no parameter matches "${pattern}"`,
      hint: `write * for any characters. ${suggest(pattern, [...new Set(names.map(groupOf))])}`,
      exitCode: exitCodes.badPreset,
    });
  }
}

/** The part of a model a parameter belongs to, for people: its name up to the first number, without the last word. */
export function groupOf(name: string): string {
  const words = name.split('.');
  const numbered = words.findIndex((word) => /^\d+$/.test(word));
  const kept = numbered > 0 ? words.slice(0, numbered) : words.slice(0, -1);
  return kept.length === 0 ? name : kept.join('.');
}

function escape(text: string): string {
  return text.replaceAll(/[\\^$.|?+()[\]{}]/g, '\\$&');
}
