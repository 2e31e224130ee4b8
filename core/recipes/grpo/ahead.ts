/** The groups of the next step, begun while this one trains (`staleness: 1`). */
import type { PromptItem } from '../../contracts/dataset.ts';
import type { Communicator } from '../../contracts/communicator.ts';
import type { RunContext } from '../../contracts/recipe.ts';
import { shareOf } from '../../ranks/shares.ts';
import type { Drawer } from '../../drawing/drawer.ts';
import type { GrpoOptions } from './options.ts';
import type { PromptSource } from './prompt-source.ts';

export interface DrawnAhead {
  readonly items: readonly PromptItem[];
  /** Where the prompts stood before: a run that is resumed takes them again, and draws them with the weights it has then. */
  readonly before: { readonly position: number; readonly tooLong: number };
}

/** Begins to draw the first round of a step with the weights as they are, and resolves when they may change. */
export async function drawAhead(
  context: RunContext,
  choice: GrpoOptions,
  { source, drawer }: { readonly source: PromptSource; readonly drawer: Drawer },
  step: number,
): Promise<DrawnAhead> {
  const before = { position: source.position, tooLong: source.tooLong };
  const { items } = await context.hooks.batch({ step, items: source.next(choice.prompts, step) });
  for (const start of ownStarts(items.length, drawer.prompts, context.communicator))
    await drawer.ahead(items.slice(start, start + drawer.prompts), seedOf(context.seed, step, 0), start);
  return { items, before };
}

/** Where the shares begin that a rank draws, of `count` prompts that are drawn `atOnce` at a time: neighbors. */
export function ownStarts(count: number, atOnce: number, communicator: Communicator): readonly number[] {
  const starts = Array.from({ length: Math.ceil(count / atOnce) }, (_, share) => share * atOnce);
  return shareOf(starts, communicator);
}

/** A seed for every rollout of a run, different by step and round. */
export function seedOf(seed: number, step: number, round: number): number {
  return (Math.imul(seed, 0x9e3779b1) ^ Math.imul(step * 64 + round + 1, 0x85ebca6b)) >>> 0;
}
