/** Pictures that the model is asked about: read where they lie, not drawn. */
import { readFile } from 'node:fs/promises';
import type { PromptItem } from '../contracts/dataset.ts';
import type { RunContext } from '../contracts/recipe.ts';
import { pictureHash } from '../drawing/records.ts';
import { diskError } from '../io/disk.ts';
import { decodePicture } from '../io/image.ts';
import { type Picture, type PictureSource, sampleOf } from './pictures.ts';

/** Questions whose pictures are held at a time. */
const atOnce = 32;

export async function* shownPictures(
  { log, stop }: Pick<RunContext, 'log' | 'stop'>,
  items: readonly PromptItem[],
  pathOf: (item: PromptItem) => string,
  { label, step }: { readonly label: string; readonly step: number },
): PictureSource {
  const progress = log.progress(`asking ${label}`, items.length, { unit: 'question' });
  try {
    for (let start = 0; start < items.length && !stop.requested; start += atOnce) {
      const some = items.slice(start, start + atOnce);
      yield await Promise.all(some.map((item, offset) => pictureAt(pathOf(item), item, start + offset, step)));
      progress.advance(some.length);
      await stop.agree();
    }
  } finally {
    progress.end();
  }
}

async function pictureAt(path: string, item: PromptItem, index: number, step: number): Promise<Picture> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw diskError(cause, 'reading a picture that is asked about', path);
  });
  const place = { index, copy: 0, item };
  return {
    ...place,
    hash: () => pictureHash(bytes),
    load: async () => sampleOf(place, await decodePicture(bytes), { step }),
  };
}
