import type { Dataset, GeneratedDataset } from '../contracts/dataset.ts';
import { ReasongenError, exitCodes } from '../errors.ts';

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
