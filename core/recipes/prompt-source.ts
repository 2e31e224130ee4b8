/** The prompts of a run, in order: the dataset's endless stream, or a pool of fixed prompts visited in turn. */
import type { Dataset, PromptItem } from '../contracts/dataset.ts';
import { ReasongenError, exitCodes } from '../errors.ts';

export interface PromptSourceOptions {
  readonly seed: number;
  /** 0: the stream. */
  readonly pool: number;
  readonly tasks?: readonly string[] | undefined;
}

export class PromptSource {
  /** Where the next prompt is taken from: the data position of a checkpoint. */
  position = 0;
  private readonly dataset: Dataset;
  private readonly options: PromptSourceOptions;
  private readonly fixed: PromptItem[] = [];

  constructor(dataset: Dataset, options: PromptSourceOptions) {
    this.dataset = dataset;
    this.options = options;
    const limit = 10_000 + options.pool * 100;
    for (let next = 0; this.fixed.length < options.pool; ) {
      const [item, after] = this.streamFrom(next);
      if (!this.fixed.some(({ prompt }) => prompt === item.prompt)) this.fixed.push(item);
      else if (after > limit) throw poolTooLarge(options.pool, this.fixed.length, limit);
      next = after;
    }
  }

  /** Empty unless the prompts are fixed. */
  get pool(): readonly PromptItem[] {
    return this.fixed;
  }

  next(count: number): PromptItem[] {
    return Array.from({ length: count }, () => {
      const fixed = this.fixed[this.position % Math.max(1, this.fixed.length)];
      if (fixed !== undefined) {
        this.position += 1;
        return fixed;
      }
      const [item, after] = this.streamFrom(this.position);
      this.position = after;
      return item;
    });
  }

  /** The first prompt of the stream at or after `position` that belongs to a wanted task, and the position behind it. */
  private streamFrom(position: number): [PromptItem, number] {
    const { seed, tasks, pool } = this.options;
    const tries = 10_000 + pool * 100;
    for (let index = position; index < position + tries; index++) {
      const item = this.dataset.prompt(index, seed, 'seen');
      if (tasks === undefined || tasks.includes(item.task)) return [item, index + 1];
    }
    throw new ReasongenError({
      code: 'NO_PROMPTS',
      message: `none of ${tries} prompts belongs to the tasks ${tasks?.join(', ')}`,
      cure: `the dataset has: ${this.dataset.tasks.join(', ')}`,
      exitCode: exitCodes.badPreset,
    });
  }
}

function poolTooLarge(wanted: number, found: number, looked: number): ReasongenError {
  return new ReasongenError({
    code: 'NO_PROMPTS',
    message: `a pool of ${wanted} different prompts is wanted; among ${looked} of the dataset there are ${found}`,
    cure: `set recipe.pool to ${found} at most, or to 0 for fresh prompts at every step`,
    exitCode: exitCodes.badPreset,
  });
}
