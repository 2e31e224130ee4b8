/** Pictures on the way to their verdicts, wherever they come from: just drawn, drawn by a run that was killed, or a folder of another tool. */
import { createHash } from 'node:crypto';
import type { PromptItem } from '../contracts/dataset.ts';
import type { Image } from '../contracts/image.ts';
import type { Sample } from '../contracts/reward.ts';

/** Which picture of an evaluation. */
export interface PicturePlace {
  /** Number of its prompt. */
  readonly index: number;
  /** Its number among the pictures of the prompt. */
  readonly copy: number;
  readonly item: PromptItem;
}

export interface Picture extends PicturePlace {
  /** Relative to the directory of the run, where it is kept there. */
  readonly file?: string;
  /** sha256 of what is judged: evidence about it holds for no other picture. */
  hash(): string;
  /** The picture as judges see it. RangeError says why it cannot be read. */
  load(): Promise<Sample>;
}

/** A picture that should be there and is not. */
export interface MissingPicture extends PicturePlace {
  readonly isMissing: true;
}

/** Whole prompts at a time, in any order. */
export type PictureSource = AsyncIterable<readonly (Picture | MissingPicture)[]>;

/** A picture as it is judged: with what is known of how it was drawn, which of one that another tool has made is nothing. */
export function sampleOf(
  { index, copy, item }: PicturePlace,
  image: Image,
  { id = `${index}-${copy}`, step = 0, rationale = '', rationaleEnded = true, codes = [] }: Partial<Sample> = {},
): Sample {
  return { ...item, id, group: index, copy, step, phase: 'evaluation', rationale, rationaleEnded, image, codes };
}

/** A drawing in memory. */
export function pictureOf(sample: Sample, index: number, copy: number): Picture {
  const { prompt, task, specification, image } = sample;
  return {
    index,
    copy,
    item: { prompt, task, specification },
    hash: () => pixelHash(image),
    load: () => Promise.resolve(sample),
  };
}

/** Drawings in memory, one for each prompt. */
export async function* fromSamples(samples: readonly Sample[]): PictureSource {
  // A source may be slow; this one is not.
  yield await Promise.resolve(samples.map((sample, index) => pictureOf(sample, index, 0)));
}

/** sha256 of size and pixels. */
export function pixelHash({ width, height, data }: Image): string {
  return createHash('sha256').update(`${width}x${height}:`).update(data).digest('hex');
}
