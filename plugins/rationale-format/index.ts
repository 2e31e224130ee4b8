/** A reward for a rationale that can be read: of a sensible length, ended by itself, and about what the prompt asks for. */
import { definePlugin, defineReward, z, type Sample, type Score } from '../../core/plugin.ts';
import { contentWords, namedWords, wordsOf } from './words.ts';

const options = z.strictObject({
  least: z.number().int().nonnegative().default(10).describe('words a rationale needs'),
  most: z.number().int().positive().default(200).describe('words it may have'),
});

type Limits = z.output<typeof options>;

export default definePlugin({
  name: 'rationale-format',
  provides: [
    defineReward({
      name: 'rationale-format',
      summary: 'a rationale of a sensible length that ends by itself and names what the prompt names; for any text',
      options,
      create: (limits) => ({
        judgesBenchmarks: true,
        score: (samples, signal) =>
          samples.map((sample) => {
            signal.throwIfAborted();
            return formatOf(sample, limits);
          }),
      }),
    }),
  ],
});

/** The share of the prompt's words that are named, times how near the length is, where the text ended by itself; else 0. */
function formatOf({ prompt, rationale, rationaleEnded }: Sample, limits: Limits): Score {
  const wanted = contentWords(prompt);
  const named = namedWords(wanted, rationale);
  const words = wordsOf(rationale).length;
  const parts = {
    ended: Number(rationaleEnded && words > 0),
    length: lengthShare(words, limits),
    names: wanted.length === 0 ? 1 : named.length / wanted.length,
  };
  const missing = wanted.filter((word) => !named.includes(word));
  const faults = [
    words === 0 ? 'there is no rationale' : undefined,
    rationaleEnded ? undefined : 'it was cut at the length cap',
    words > 0 && parts.length < 1 ? `it has ${words} words, not ${limits.least} to ${limits.most}` : undefined,
    words > 0 && missing.length > 0 ? `it does not name ${missing.join(', ')}` : undefined,
  ].filter((fault) => fault !== undefined);
  return {
    value: parts.ended * parts.length * parts.names,
    why: faults.length === 0 ? 'a readable rationale that names what the prompt names' : faults.join('; '),
    parts,
  };
}

/** 1 within the limits; below, the share that is there; above, what may be there as a share of what is. */
function lengthShare(words: number, { least, most }: Limits): number {
  if (words < least) return words / least;
  return words > most ? most / words : 1;
}
