/** Rationales that never end: a model that is rewarded for pictures alone lets them grow to the cap. */
import { defineExtension, z } from '../../core/plugin.ts';

export const cutRationales = defineExtension({
  name: 'cut-rationales',
  summary: 'takes something off the reward of drawings whose rationale was cut by the length cap',
  options: z.strictObject({
    penalty: z.number().positive().default(0.5).describe('what is taken off the total of such a drawing'),
  }),
  create: ({ penalty }) => ({
    rewards: (event) => ({
      ...event,
      judgements: event.judgements.map((judgement, index) =>
        event.samples[index]?.rationaleEnded === false && judgement.unjudged !== true
          ? { ...judgement, total: judgement.total - penalty }
          : judgement,
      ),
    }),
  }),
});
