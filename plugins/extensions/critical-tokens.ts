/**
 * Lets the tokens count at which the model was in doubt (Wang et al. 2025, "Beyond the 80/20 Rule": the share with the highest
 * entropy carries what a policy learns). Text and image tokens are ranked apart, over all drawings of a rollout: their entropies
 * differ by an order of magnitude. A forced token has entropy 0 and no loss, whatever its weight.
 */
import { type AdvantagesEvent, defineExtension, type DrawnTokens, weighTokens, z } from '../../core/plugin.ts';

const share = z.number().gt(0).max(1);

export const criticalTokens = defineExtension({
  name: 'critical-tokens',
  summary: 'only the tokens of highest entropy count in the policy term, or count more',
  options: z.strictObject({
    textShare: share.default(0.2).describe('share of rationale tokens that count whole; 1: all of them'),
    imageShare: share.default(1).describe('share of image codes that count whole; 1: all of them'),
    otherWeight: z.number().nonnegative().default(0).describe('what the other tokens count'),
  }),
  create: ({ textShare, imageShare, otherWeight }) => ({
    advantages: (event: AdvantagesEvent) => {
      const textFrom = threshold(event.drawn.map(textEntropies), textShare);
      const imageFrom = threshold(event.drawn.map(imageEntropies), imageShare);
      const weigh = (entropies: readonly number[], from: number): number[] =>
        entropies.map((nats) => (nats >= from ? 1 : otherWeight));
      return weighTokens(event, (drawn) => {
        const [text, image] = [textEntropies(drawn), imageEntropies(drawn)];
        const between = drawn.entropy.length - text.length - image.length;
        return [...weigh(text, textFrom), ...Array<number>(between).fill(1), ...weigh(image, imageFrom)];
      });
    },
  }),
});

/** The image start stands between the two. */
function textEntropies({ entropy, rationaleIds }: DrawnTokens): number[] {
  return Array.from(entropy).slice(0, rationaleIds.length);
}

function imageEntropies({ entropy, codes }: DrawnTokens): number[] {
  return Array.from(entropy).slice(entropy.length - codes.length);
}

/** The entropy from which on the largest of all make up the share; ties count. */
function threshold(entropies: readonly (readonly number[])[], wanted: number): number {
  const falling = entropies.flat().sort((a, b) => b - a);
  return wanted === 1 ? Number.NEGATIVE_INFINITY : (falling[Math.ceil(falling.length * wanted) - 1] ?? 0);
}
