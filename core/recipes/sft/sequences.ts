/** Prompt, rationale and codes as one sequence, some of it dropped in the layout that guidance uses where a condition is missing. */
import type { Tokenizer } from '../../contracts/tokenizer.ts';
import type { Sequence } from '../../nn/packing.ts';

/** What a sequence is trained without. */
export type Dropped = 'nothing' | 'prompt' | 'rationale' | 'both';

export interface SequenceText {
  readonly prompt: string;
  readonly rationale: string;
}

/** `rationale`: false writes none, whatever the example has. Where anything is dropped only the picture and the end are targets. */
export function sequenceOf(
  tokenizer: Tokenizer,
  item: SequenceText,
  codes: readonly number[],
  options: { readonly rationale: boolean; readonly dropped: Dropped },
): Sequence {
  const { imageStart, eos } = tokenizer.special;
  const prompt = tokenizer.prompt(item.prompt, options.rationale ? 'rationale' : 'direct');
  const written = options.rationale ? [...tokenizer.encode(item.rationale), imageStart] : [];
  const text = [...prompt, ...written];
  const trailing = [eos];
  if (options.dropped === 'nothing' || (options.dropped !== 'both' && !options.rationale))
    return { text, firstTarget: prompt.length, codes, trailing };
  const without = drop(tokenizer, item, text, prompt.length, options.dropped);
  return { text: without, firstTarget: without.length, codes, trailing };
}

/**
 * A layout without a condition either keeps every place (published Janus: padding stands in the gap) or closes the gap. The tokenizer
 * decides; what it does to both is done to one of them.
 */
function drop(
  tokenizer: Tokenizer,
  item: SequenceText,
  text: readonly number[],
  promptLength: number,
  dropped: Dropped,
): number[] {
  const unconditional = tokenizer.unconditional(text);
  if (dropped === 'both') return unconditional;
  if (unconditional.length === text.length) {
    const gap = (index: number): boolean => index < promptLength === (dropped === 'prompt');
    return text.map((id, index) => (gap(index) ? (unconditional[index] ?? id) : id));
  }
  if (dropped === 'rationale') return tokenizer.prompt(item.prompt, 'direct');
  return [...unconditional.slice(0, -1), ...text.slice(promptLength)];
}
