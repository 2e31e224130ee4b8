/** Factors of tokens in the policy objective, for extensions that let some count more than others. */
import type { AdvantagesEvent, DrawnTokens } from '../contracts/hooks.ts';

/** The event with these factors of each drawing's tokens (as many as it has entropies), times those that an extension before has given. */
export function weighTokens(
  event: AdvantagesEvent,
  weigh: (drawn: DrawnTokens, index: number) => readonly number[],
): AdvantagesEvent {
  const tokenWeights = event.drawn.map((drawn, index) => {
    const own = weigh(drawn, index);
    const before = event.tokenWeights?.[index];
    return before === undefined ? own : own.map((weight, token) => weight * (before[token] ?? Number.NaN));
  });
  return { ...event, tokenWeights };
}
