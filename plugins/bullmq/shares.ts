/** The sequences of a request as they come back: looked at before anything is done with them. */
import type { DrawnModel, DrawRequest, DrawSizes } from '../../core/plugin.ts';
import type { DrawResult } from './protocol.ts';

export type DrawnSequence = Awaited<ReturnType<DrawnModel['local']['draw']>>[number];

type SentSequences = Extract<DrawResult, { readonly sequences: unknown }>['sequences'];

/** The sequences of a request; or, in words, why these cannot be those. */
export function sequencesOf(
  sent: SentSequences,
  request: DrawRequest,
  sizes: DrawSizes,
  vocabulary: DrawnModel['vocabulary'],
): DrawnSequence[] | string {
  const { prompts, samplesPerPrompt, rationale } = request;
  if (sent.length !== prompts.length * samplesPerPrompt)
    return `it returned ${sent.length} sequences in place of ${prompts.length * samplesPerPrompt}`;
  const sequences: DrawnSequence[] = [];
  for (const [index, sequence] of sent.entries()) {
    const { rationaleIds, codes, logProbability, entropy } = sequence;
    const after = rationale === 'skip' ? codes.length : rationaleIds.length + 1 + codes.length;
    if (codes.length !== sizes.codes || rationaleIds.length > sizes.textTokens)
      return `it returned sequences of another length`;
    if (codes.some((id) => id >= vocabulary.image) || rationaleIds.some((id) => id >= vocabulary.text))
      return 'it returned tokens that the model does not have';
    if (logProbability.length !== after || entropy.length !== after)
      return `it returned ${logProbability.length} log-probabilities for ${after} tokens`;
    if (![...logProbability, ...entropy].every(Number.isFinite))
      return 'it returned log-probabilities that are not finite';
    sequences.push({ ...sequence, promptIds: prompts[Math.floor(index / samplesPerPrompt)] ?? [] });
  }
  return sequences;
}
