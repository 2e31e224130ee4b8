/**
 * The prompts of a run, in order: the dataset's endless stream, files, or a pool of fixed prompts visited in turn. Prompts of
 * tasks that are not wanted at a step, and those that are too long, are passed over; the latter are counted.
 */
import type { Dataset, PromptItem } from '../../contracts/dataset.ts';
import { ReasongenError, exitCodes } from '../../errors.ts';
import { requireGenerated } from '../generated.ts';

export interface PromptSourceOptions {
  /** 0: the stream. */
  readonly pool: number;
  readonly tasks?: readonly string[] | undefined;
  /** Other tasks from a step on, in rising order. */
  readonly curriculum?: readonly { readonly from: number; readonly tasks: readonly string[] }[];
  /** Whether a prompt is short enough to be drawn; all are by default. */
  readonly fits?: (item: PromptItem) => boolean;
}

/** What an endless list of prompts must give. */
export interface PromptStream {
  /** Named when none of the tasks that are wanted occurs. */
  readonly tasks: readonly string[];
  prompt(index: number): PromptItem;
}

/** The stream of a dataset. */
export function datasetStream(dataset: Dataset, seed: number): PromptStream {
  return {
    tasks: dataset.tasks,
    prompt: (index) => requireGenerated(dataset, 'drawing its prompts').prompt(index, seed, 'seen'),
  };
}

export class PromptSource {
  /** Where the next prompt is taken from: the data position of a checkpoint. */
  position = 0;
  /** Prompts passed over because they are too long; part of a checkpoint. */
  tooLong = 0;
  private readonly stream: PromptStream;
  private readonly options: PromptSourceOptions;
  private readonly fixed: PromptItem[] = [];

  constructor(stream: PromptStream, options: PromptSourceOptions) {
    this.stream = stream;
    this.options = options;
    const limit = 10_000 + options.pool * 100;
    for (let next = 0; this.fixed.length < options.pool;) {
      const [item, after] = this.streamFrom(next, options.tasks);
      if (!this.fixed.some(({ prompt }) => prompt === item.prompt)) this.fixed.push(item);
      else if (after > limit) throw poolTooLarge(options.pool, this.fixed.length, limit);
      next = after;
    }
  }

  /** Empty unless the prompts are fixed. */
  get pool(): readonly PromptItem[] {
    return this.fixed;
  }

  /** The next prompts, for a step. */
  next(count: number, step = 1): PromptItem[] {
    const tasks = this.tasksAt(step);
    return Array.from({ length: count }, () => {
      if (this.fixed.length > 0) return this.nextFixed(tasks);
      const [item, after] = this.streamFrom(this.position, tasks);
      this.position = after;
      return item;
    });
  }

  private tasksAt(step: number): readonly string[] | undefined {
    return this.options.curriculum?.findLast(({ from }) => from <= step)?.tasks ?? this.options.tasks;
  }

  private nextFixed(tasks: readonly string[] | undefined): PromptItem {
    for (let tried = 0; tried < this.fixed.length; tried++) {
      const item = this.fixed[this.position % this.fixed.length];
      this.position += 1;
      if (item !== undefined && (tasks === undefined || tasks.includes(item.task))) return item;
    }
    throw this.noPrompts(`the pool of ${this.fixed.length}`, tasks);
  }

  /** The first prompt of the stream at or after `position` that belongs to a wanted task and fits, and the position behind it. */
  private streamFrom(position: number, tasks: readonly string[] | undefined): [PromptItem, number] {
    const tries = 10_000 + this.options.pool * 100;
    let tooLong = 0;
    for (let index = position; index < position + tries; index++) {
      const item = this.stream.prompt(index);
      if (tasks !== undefined && !tasks.includes(item.task)) continue;
      if (this.options.fits?.(item) !== false) {
        this.tooLong += tooLong;
        return [item, index + 1];
      }
      tooLong += 1;
    }
    if (tooLong > 0) {
      throw new ReasongenError({
        code: 'NO_PROMPTS',
        message: `${tooLong} prompts in a row are too long for this run`,
        hint: 'raise recipe.promptTokens',
        exitCode: exitCodes.badPreset,
      });
    }
    throw this.noPrompts(`${tries} prompts`, tasks);
  }

  private noPrompts(among: string, tasks: readonly string[] | undefined): ReasongenError {
    return new ReasongenError({
      code: 'NO_PROMPTS',
      message: `none of ${among} belongs to the tasks ${tasks?.join(', ')}`,
      hint: `there are: ${this.stream.tasks.join(', ')}`,
      exitCode: exitCodes.badPreset,
    });
  }
}

function poolTooLarge(wanted: number, found: number, looked: number): ReasongenError {
  return new ReasongenError({
    code: 'NO_PROMPTS',
    message: `a pool of ${wanted} different prompts is wanted; among ${looked} of the dataset there are ${found}`,
    hint: `set recipe.pool to ${found} at most, or to 0 for fresh prompts at every step`,
    exitCode: exitCodes.badPreset,
  });
}
