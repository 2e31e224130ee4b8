/** A reward for drawings of one prompt that differ: a policy that draws one picture for a prompt has stopped exploring. */
import { thumbnailDistance, thumbnailOf } from '../../core/compute.ts';
import { definePlugin, defineReward, z, type RewardAnswer, type Sample } from '../../core/plugin.ts';

const options = z.strictObject({
  of: z
    .enum(['pictures', 'rationales'])
    .default('pictures')
    .describe('what is compared: thumbnails of 16 x 16 means, or pairs of words'),
});

/** How far apart two drawings are, from 0 to 1. */
type Distance = (a: Sample, b: Sample) => number;

export default definePlugin({
  name: 'diversity',
  provides: [
    defineReward({
      name: 'diversity',
      summary: 'how far a drawing is, on average, from the others of its prompt; no model looks',
      options,
      create: ({ of }) => ({
        score: (samples, signal) => {
          signal.throwIfAborted();
          const distance = of === 'pictures' ? betweenPictures(samples) : betweenRationales(samples);
          return samples.map((sample) => meanDistance(sample, samples, distance, of));
        },
      }),
    }),
  ],
});

/** null for a drawing that is the only one of its prompt: there is nothing to differ from. */
function meanDistance(sample: Sample, samples: readonly Sample[], distance: Distance, of: string): RewardAnswer {
  const others = samples.filter(({ group, id }) => group === sample.group && id !== sample.id);
  if (others.length === 0) return null;
  const distances = others.map((other) => distance(sample, other));
  const value = distances.reduce((sum, each) => sum + each, 0) / distances.length;
  const nearest = Math.min(...distances);
  return {
    value,
    why: `its distance to ${others.length} other ${of} of the prompt is ${value.toFixed(3)} on average, ${nearest.toFixed(3)} at least`,
    parts: { nearest },
  };
}

function betweenPictures(samples: readonly Sample[]): Distance {
  const thumbnails = new Map(samples.map(({ id, image }) => [id, thumbnailOf(image)]));
  return (a, b) =>
    thumbnailDistance(thumbnails.get(a.id) ?? thumbnailOf(a.image), thumbnails.get(b.id) ?? thumbnailOf(b.image));
}

/** One less the Jaccard index of their pairs of words. */
function betweenRationales(samples: readonly Sample[]): Distance {
  const pairs = new Map(samples.map(({ id, rationale }) => [id, wordPairs(rationale)]));
  return (a, b) => {
    const [first, second] = [pairs.get(a.id) ?? new Set(), pairs.get(b.id) ?? new Set()];
    const shared = [...first].filter((pair) => second.has(pair)).length;
    const all = first.size + second.size - shared;
    return all === 0 ? 0 : 1 - shared / all;
  };
}

/** The ends of a text count as words, so that one of a single word has pairs. */
function wordPairs(text: string): Set<string> {
  const words = ['', ...(text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []), ''];
  return new Set(words.slice(1).map((word, index) => `${words[index]} ${word}`));
}
