/** Which tokens an answer begins with. */
import type { Tokenizer } from '../contracts/tokenizer.ts';
import { ReasongenError, exitCodes } from '../errors.ts';

/**
 * For each set of spellings the ids that an answer in it may begin with. A layout decides whether a blank stands in front of an answer, so every
 * spelling counts with and without one. Where a spelling of a set is a token by itself, only such count: the first piece of another could begin
 * anything. Else, as with a tokenizer of single characters, their first tokens do, but for those that another set begins with, too.
 * Throws NO_FIRST_TOKEN when nothing tells a set from the others.
 */
export function firstTokens(tokenizer: Tokenizer, answers: readonly (readonly string[])[]): number[][] {
  const sets = answers.map((spellings) => {
    const all = spellings
      .flatMap((spelling) => [spelling, ` ${spelling.trim()}`])
      .map((spelling) => tokenizer.encode(spelling))
      .filter((ids) => ids.length > 0);
    const whole = all.filter((ids) => ids.length === 1);
    return new Set((whole.length > 0 ? whole : all).flatMap(([first]) => first ?? []));
  });
  return sets.map((own, index) => {
    const others = sets.filter((_, other) => other !== index);
    const left = [...own].filter((id) => !others.some((other) => other.has(id)));
    if (left.length > 0) return left;
    throw new ReasongenError({
      code: 'NO_FIRST_TOKEN',
      message: `no first token tells "${answers[index]?.[0] ?? ''}" from the other answers`,
      hint: 'ask for answers that begin with different words',
      exitCode: exitCodes.badPreset,
    });
  });
}
