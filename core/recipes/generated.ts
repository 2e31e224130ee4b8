import type { Dataset, GeneratedDataset } from '../contracts/dataset.ts';
import type { RunComponents } from '../contracts/recipe.ts';
import { ReasongenError, exitCodes } from '../errors.ts';

/** Throws when the pictures of a dataset are not of the size the image tokenizer takes. */
export function refuseOtherPictures({
  dataset,
  imageTokenizer,
}: Pick<RunComponents, 'dataset' | 'imageTokenizer'>): void {
  const [drawn, taken] = [dataset.imageSize, imageTokenizer.imageSize];
  if (drawn.width === taken.width && drawn.height === taken.height) return;
  throw new ReasongenError({
    code: 'PICTURE_SIZE',
    message: `the dataset has pictures of ${drawn.width} x ${drawn.height} pixels, and the image tokenizer takes ${taken.width} x ${taken.height}`,
    hint: 'choose a dataset and an image tokenizer of one size',
    exitCode: exitCodes.badPreset,
  });
}

/** A dataset that makes examples and prompts; one that lies in files has neither prompts nor pictures on demand. */
export function requireGenerated(dataset: Dataset, purpose: string): GeneratedDataset {
  if (!('open' in dataset)) return dataset;
  throw new ReasongenError({
    code: 'DATASET_OF_FILES',
    message: `this dataset holds captioned pictures in files; ${purpose} needs one that makes prompts or pictures`,
    hint: 'choose another dataset (`reasongen describe dataset`); prompts for GRPO may also come from files',
    exitCode: exitCodes.badPreset,
  });
}
