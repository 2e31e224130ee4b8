/** How much of a step is on the device at once: what a run needs of memory follows from these. */
import type { Communicator } from '../../contracts/communicator.ts';
import type { RunContext } from '../../contracts/recipe.ts';
import { packedShape, sizeOfSequence, timesSize, type PackedShape } from '../../nn/packed-shape.ts';
import { largestShare } from '../../ranks/shares.ts';
import type { GrpoOptions } from './options.ts';

/** With how many others the work is shared. */
type Ranks = Pick<Communicator, 'size'>;

/** Prompts whose groups a rank draws at the same time. */
export function promptsAtOnce(
  { prompts, promptsAtOnce: chosen }: Pick<GrpoOptions, 'prompts' | 'promptsAtOnce'>,
  ranks: Ranks,
): number {
  return Math.min(chosen ?? largestShare(prompts, ranks), prompts);
}

/** Drawings of a group that are trained on. */
export function trainedPerGroup({ groupSize, downSample }: Pick<GrpoOptions, 'groupSize' | 'downSample'>): number {
  return downSample ?? groupSize;
}

/** Drawings of one mini-batch: those of one optimizer update. */
export function miniBatchSize(
  choice: Pick<GrpoOptions, 'prompts' | 'groupSize' | 'downSample' | 'miniBatches'>,
): number {
  return Math.ceil(choice.prompts / choice.miniBatches) * trainedPerGroup(choice);
}

/** Drawings of one micro-batch: those of one forward and backward pass of a rank. */
export function drawingsAtOnce(
  choice: Pick<GrpoOptions, 'prompts' | 'groupSize' | 'downSample' | 'miniBatches' | 'microBatch'>,
  ranks: Ranks,
): number {
  const perUpdate = largestShare(miniBatchSize(choice), ranks);
  return Math.min(choice.microBatch ?? perUpdate, perUpdate);
}

/** A micro-batch of drawings with the longest prompts and rationales there may be. */
export function largestShape(
  { tokenizer, imageTokenizer, communicator }: Pick<RunContext, 'tokenizer' | 'imageTokenizer' | 'communicator'>,
  choice: GrpoOptions,
): PackedShape {
  const codes = new Array<number>(imageTokenizer.grid.rows * imageTokenizer.grid.columns).fill(0);
  const text = new Array<number>(choice.promptTokens + (choice.rationale ? choice.rationaleTokens : 0)).fill(
    tokenizer.special.imageStart,
  );
  const unconditional = choice.guidance === 1 ? {} : { unconditional: tokenizer.unconditional(text) };
  const one = sizeOfSequence({ text, firstTarget: choice.promptTokens, codes, trailing: [], ...unconditional });
  return packedShape(timesSize(one, drawingsAtOnce(choice, communicator)));
}
