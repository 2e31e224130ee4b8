/** The nano world's strict verdict, turned round in a known share of the drawings: a judge that errs by chance. */
import { createHash } from 'node:crypto';
import { definePlugin, defineReward, z } from '../../../core/plugin.ts';
import { verdictReward } from '../../../plugins/nano-world/rewards.ts';

export default definePlugin({
  name: 'wrong-detector',
  provides: [
    defineReward({
      name: 'wrong-detector',
      summary: 'the strict verdict of the detector, turned round where chance wants it',
      options: z.strictObject({ share: z.number().min(0).max(1).describe('share of the drawings that are misjudged') }),
      create: ({ share }, { seed }) => {
        const right = verdictReward({ strict: true, graded: false });
        return {
          judgesBenchmarks: true,
          score: async (samples, signal) => {
            const scores = await right.score(samples, signal);
            return scores.map((score, index) => {
              const value =
                typeof score === 'object' && score !== null && 'value' in score ? score.value : Number(score);
              const sample = samples[index];
              const digest = createHash('sha256')
                .update(`${seed} ${sample?.id}`)
                .update(sample?.image.data ?? '')
                .digest();
              // The same picture for the same prompt is judged the same way.
              return digest.readUInt32LE(0) / 2 ** 32 < share ? 1 - value : value;
            });
          },
        };
      },
    }),
  ],
});
