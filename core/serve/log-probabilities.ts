/** Log-probabilities of tokens as OpenAI tells them: of the model's own distribution, whatever the temperature. */
import type { Tokenizer } from '../contracts/tokenizer.ts';
import { at } from '../tensor/at.ts';

export interface ToldToken {
  readonly token: string;
  readonly logprob: number;
  /** UTF-8 of the token; null where it is a part of a character. */
  readonly bytes: readonly number[] | null;
}

export interface ToldLogProbability extends ToldToken {
  readonly top_logprobs: readonly ToldToken[];
}

/** OpenAI tells this for what is as good as impossible; JSON has no infinity. */
const least = -9999;

/** Of a drawn token and the `top` likeliest in its place, in float64 from the logits. */
export function logProbabilityOf(
  id: number,
  logits: Float32Array,
  top: number,
  { decode }: Pick<Tokenizer, 'decode'>,
): ToldLogProbability {
  let largest = -Infinity;
  for (const value of logits) if (value > largest) largest = value;
  let total = 0;
  for (const value of logits) total += Math.exp(value - largest);
  const logTotal = largest + Math.log(total);
  const told = (token: number): ToldToken => {
    const text = decode([token]);
    return {
      token: text,
      logprob: Math.max(least, at(logits, token) - logTotal),
      bytes: text.includes('\uFFFD') ? null : [...Buffer.from(text)],
    };
  };
  return { ...told(id), top_logprobs: likeliest(logits, top).map(told) };
}

/** Places of the `count` largest values, the largest first, the first of equals first. */
function likeliest(values: Float32Array, count: number): number[] {
  const best: number[] = [];
  if (count === 0) return best;
  for (let index = 0; index < values.length; index++) {
    const value = at(values, index);
    if (best.length === count && value <= at(values, at(best, count - 1))) continue;
    let place = best.length;
    while (place > 0 && value > at(values, at(best, place - 1))) place -= 1;
    best.splice(place, 0, index);
    if (best.length > count) best.pop();
  }
  return best;
}
