/**
 * Prompts from files (`io/text-rows.ts`). Prompts that occur twice, in one file or in several, count once.
 * The files are mixed by their weights in a fixed pattern, each in an order of its own that the seed decides, shuffled anew for
 * every pass. What comes next follows from one number, so a resume is exact.
 */
import { basename, extname } from 'node:path';
import type { PromptItem } from '../../contracts/dataset.ts';
import { ReasongenError, exitCodes } from '../../errors.ts';
import { readTextRows, type TextRow } from '../../io/text-rows.ts';
import { at } from '../../tensor/at.ts';
import { philox } from '../../tensor/philox.ts';
import type { PromptFile } from './options.ts';

export interface PromptList {
  readonly file: string;
  readonly weight: number;
  readonly items: readonly PromptItem[];
  /** Lines left out because they had occurred before. */
  readonly repeated: number;
}

/** Reads the files. Throws NO_PROMPTS for one without a prompt, and what the reader throws. */
export async function readPromptFiles(
  files: readonly PromptFile[],
  leaveOut: ReadonlySet<string> = new Set(),
): Promise<PromptList[]> {
  const known = new Set(leaveOut);
  const lists: PromptList[] = [];
  for (const { file, weight, task } of files) {
    const own = task ?? basename(file, extname(file));
    const all = (await readTextRows(file, 'prompt'))
      .map((row) => itemOf(row, own))
      .filter(({ prompt }) => prompt !== '');
    const items = all.filter(({ prompt }) => !known.has(prompt) && known.add(prompt));
    if (items.length === 0) {
      const message =
        all.length === 0 ? 'this file has no prompt in it' : 'every prompt of this file occurs in a file before it';
      throw new ReasongenError({
        code: 'NO_PROMPTS',
        message,
        place: file,
        hint: 'write one prompt a line, or leave the file out',
        exitCode: exitCodes.badPreset,
      });
    }
    lists.push({ file, weight, items, repeated: all.length - items.length });
  }
  return lists;
}

/** Without its final full stop: layouts add one of their own, and supervised examples lose theirs likewise. */
function bare(prompt: string): string {
  return prompt.trim().replace(/\.$/, '').trim();
}

/**
 * What a row holds beside its prompt is the `specification` that judges and benchmarks see; its "task", which GenEval's metadata calls
 * "tag", is the task.
 */
function itemOf({ text, columns }: TextRow, task: string): PromptItem {
  const named = columns['task'] ?? columns['tag'];
  return { prompt: bare(text), task: typeof named === 'string' ? named : task, specification: columns };
}

export class PromptMix {
  private readonly lists: readonly PromptList[];
  private readonly seed: number;
  /** Which list each prompt so far came from, and how many each has given. */
  private readonly given: number[];
  private readonly debt: number[];
  private position = 0;
  private readonly orders = new Map<string, Uint32Array>();

  constructor(lists: readonly PromptList[], seed: number) {
    this.lists = lists;
    this.seed = seed;
    this.given = lists.map(() => 0);
    this.debt = lists.map(() => 0);
  }

  /** The prompt at `position`. Positions are asked for in rising order as a rule; going back starts over. */
  at(position: number): PromptItem {
    if (position < this.position) {
      this.position = 0;
      this.given.fill(0);
      this.debt.fill(0);
    }
    let list = 0;
    let index = 0;
    while (this.position <= position) {
      list = this.turn();
      index = at(this.given, list);
      this.given[list] = index + 1;
      this.position += 1;
    }
    const { items } = at(this.lists, list);
    return at(items, at(this.order(list, Math.floor(index / items.length)), index % items.length));
  }

  /** Smooth weighted turns: every list gains its weight, the one that is owed most gives and pays the sum. */
  private turn(): number {
    let most = 0;
    let sum = 0;
    this.lists.forEach(({ weight }, list) => {
      this.debt[list] = at(this.debt, list) + weight;
      sum += weight;
      if (at(this.debt, list) > at(this.debt, most)) most = list;
    });
    this.debt[most] = at(this.debt, most) - sum;
    return most;
  }

  /** A permutation of a list's prompts for a pass over it. */
  private order(list: number, pass: number): Uint32Array {
    const key = `${list} ${pass}`;
    let order = this.orders.get(key);
    if (order === undefined) {
      order = shuffled(at(this.lists, list).items.length, [this.seed, list * 65536 + pass]);
      this.orders.set(key, order);
    }
    return order;
  }
}

/** Fisher and Yates with counter-based random words. */
function shuffled(count: number, seed: readonly [number, number]): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, index) => index);
  for (let last = count - 1; last > 0; last--) {
    const [word] = philox([last, 0, 0, 0x70726f6d], seed);
    const other = Math.floor((word / 2 ** 32) * (last + 1));
    [order[last], order[other]] = [at(order, other), at(order, last)];
  }
  return order;
}
