/** What a reward makes of similarity and of text that was read, whichever judge gives it. */
import { defineReward, judgeFor, z, type Reward, type RewardAnswer, type Sample } from '../../core/plugin.ts';
import { quotedTexts, readableShare } from './quoted.ts';

const judgeOption = (capability: string): z.ZodOptional<z.ZodString> =>
  z
    .string()
    .min(1)
    .optional()
    .describe(`name of the judge; the first of the preset with \`${capability}\` unless told`);

/** w · max(cosine, 0) of Hessel et al. (2021). */
export const clipScoreReward = defineReward({
  name: 'clip-score',
  summary: 'how near picture and prompt are in the space of a judge with `similarity`, such as a CLIP',
  options: z.strictObject({
    judge: judgeOption('similarity'),
    scale: z
      .number()
      .positive()
      .default(2.5)
      .describe('the cosine, which is about 0.3 for a good picture, is multiplied by it'),
  }),
  create: async ({ judge: name, scale }, scope) => {
    const judge = await judgeFor(scope, 'similarity', name);
    return eachAtOnce(async ({ image, prompt }, signal) => {
      const [cosine = Number.NaN] = await judge.similarity(image, [prompt], signal);
      const value = scale * Math.max(0, cosine);
      return { value, why: `${judge.title}: cosine ${cosine.toFixed(3)}`, parts: { cosine } };
    });
  },
});

export const ocrReward = defineReward({
  name: 'ocr',
  summary: 'how much of the text that the prompt puts in quotation marks can be read in the picture',
  options: z.strictObject({ judge: judgeOption('read') }),
  create: async ({ judge: name }, scope) => {
    const judge = await judgeFor(scope, 'read', name);
    return eachAtOnce(async ({ image, prompt }, signal) => {
      const wanted = quotedTexts(prompt);
      if (wanted.length === 0) return null;
      const lines = await judge.read(image, signal);
      const read = lines.map(({ text }) => text).join(' ');
      const shares = wanted.map((text) => readableShare(text, read));
      return {
        value: shares.reduce((sum, share) => sum + share, 0) / shares.length,
        why: read === '' ? `${judge.title} reads nothing` : `${judge.title} reads: ${read}`,
        parts: { exact: shares.filter((share) => share === 1).length / shares.length },
      };
    });
  },
});

/** The runtime decides how many questions are under way. */
function eachAtOnce(answer: (sample: Sample, signal: AbortSignal) => Promise<RewardAnswer>): Reward {
  return {
    judgesBenchmarks: true,
    score: (samples, signal) => Promise.all(samples.map((sample) => answer(sample, signal))),
  };
}
