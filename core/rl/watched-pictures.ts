/** What the pictures of a step look like, as numbers that are watched. Arithmetic on the host, no device; no model looks. */
import type { Sample } from '../contracts/reward.ts';
import { duplicateShare, faultsOf, pictureSigns, thumbnailDistance, thumbnailOf } from './picture-signs.ts';
import { mean } from './statistics.ts';

/** Pictures that are looked at closely in a step; more would cost time and say little more. */
const mostPictures = 32;

/** Samples of groups of `groupSize` neighbors. */
export function watchedPictures(
  samples: readonly Sample[],
  groupSize: number,
): { readonly empty: number; readonly duplicates: number; readonly diversity: number } {
  const every = Math.max(1, Math.floor(samples.length / mostPictures));
  const looked = samples.filter((_, index) => index % every === 0);
  const groups = Array.from({ length: samples.length / groupSize }, (_, group) =>
    samples.slice(group * groupSize, (group + 1) * groupSize),
  );
  const firsts = groups.flatMap(([first]) => first ?? []);
  // Two prompts that are the same may well have the same picture.
  const different = firsts.filter(
    ({ prompt }, index) => firsts.findIndex((other) => other.prompt === prompt) === index,
  );
  return {
    empty: mean(looked.map(({ image }) => Number(faultsOf(pictureSigns(image)).length > 0))),
    duplicates: duplicateShare(different.slice(0, mostPictures).map(({ image }) => image)),
    diversity: mean(groups.slice(0, mostPictures).map(diversityOf)),
  };
}

/** Mean distance of neighbors within a group; 0 for a group of one. */
function diversityOf(group: readonly Sample[]): number {
  const thumbnails = group.map(({ image }) => thumbnailOf(image));
  return mean(
    thumbnails.slice(1).map((thumbnail, index) => thumbnailDistance(thumbnail, thumbnails[index] ?? thumbnail)),
  );
}
