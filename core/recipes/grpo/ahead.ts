/** The groups of the next step, begun while this one trains (`staleness: 1`). */
import type { PromptItem } from '../../contracts/dataset.ts';
import type { RunContext } from '../../contracts/recipe.ts';
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
  await drawer.ahead(items, seedOf(context.seed, step, 0));
  return { items, before };
}

/** A seed for every rollout of a run, different by step and round. */
export function seedOf(seed: number, step: number, round: number): number {
  return (Math.imul(seed, 0x9e3779b1) ^ Math.imul(step * 64 + round + 1, 0x85ebca6b)) >>> 0;
}
