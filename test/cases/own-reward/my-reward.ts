import { definePlugin, defineReward, z } from '../../../core/plugin.ts';

export default definePlugin({
  name: 'my-reward',
  provides: [
    defineReward({
      name: 'brightness',
      summary: 'share of bright bytes',
      options: z.strictObject({ threshold: z.number().default(0.5).describe('from 0 to 1') }),
      create: ({ threshold }) => ({
        score: (samples) =>
          samples.map(({ image }) => image.data.filter((byte) => byte > threshold * 255).length / image.data.length),
      }),
    }),
  ],
});
