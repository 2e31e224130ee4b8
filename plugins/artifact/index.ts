/** A reward against pictures that please a judge without showing anything. */
import { faultsOf, pictureFaults, pictureSigns } from '../../core/compute.ts';
import { definePlugin, defineReward, z } from '../../core/plugin.ts';

export default definePlugin({
  name: 'artifact',
  provides: [
    defineReward({
      name: 'artifact',
      summary: '1 for a picture, 0 for one that is blank, flat, dark, burnt out or a repeating pattern; no model looks',
      options: z.strictObject({
        faults: z
          .array(z.enum(pictureFaults))
          .min(1)
          .default([...pictureFaults])
          .describe(
            'what counts: one color (blank), no contrast (flat), near black (dark), full colors everywhere (saturated), a pattern that repeats (grid)',
          ),
      }),
      create: ({ faults }) => ({
        judgesBenchmarks: true,
        score: (samples, signal) =>
          samples.map(({ image }) => {
            signal.throwIfAborted();
            const signs = pictureSigns(image);
            const found = faultsOf(signs).filter((fault) => faults.includes(fault));
            return {
              value: Number(found.length === 0),
              why: found.length === 0 ? 'a picture of something' : `the picture is ${found.map(described).join(', ')}`,
              parts: Object.fromEntries(faults.map((fault) => [fault, Number(found.includes(fault))])),
            };
          }),
      }),
    }),
  ],
});

function described(fault: (typeof pictureFaults)[number]): string {
  return fault === 'grid' ? 'a pattern that repeats' : fault;
}
