/** What a GRPO run will do and need, in words and bytes. */
import type { Plan, PlanContext } from '../contracts/recipe.ts';
import type { GrpoOptions } from './grpo-options.ts';
import { drawingsAtOnce } from './grpo-update.ts';
import { memoryPlan } from './memory.ts';

export function planGrpo(context: PlanContext, choice: GrpoOptions): Plan {
  const codes = context.imageTokenizer.grid.rows * context.imageTokenizer.grid.columns;
  const rows = choice.prompts * choice.samples;
  const capacity = choice.promptTokens + (choice.rationale ? choice.rationaleTokens : 1) + codes;
  const branches = choice.guidance === 1 ? 1 : 2;
  return memoryPlan(context, {
    tokens: drawingsAtOnce(choice) * capacity * branches,
    trained: true,
    sampler: { rows: rows * branches, capacity },
    lines: planLines(choice, codes, capacity),
  });
}

/** The arithmetic of batches, one fact a line. */
export function planLines(choice: GrpoOptions, codes: number, capacity: number): string[] {
  const { prompts, samples, updates, epochs, steps, refillRounds, guidance, pool, promptFiles, curriculum, kl } = choice;
  const rows = prompts * samples;
  const perUpdate = Math.ceil(prompts / updates) * samples;
  const atOnce = drawingsAtOnce(choice);
  const passes = Math.ceil(perUpdate / atOnce);
  const files = promptFiles.length === 1 ? 'one file' : `${promptFiles.length} files`;
  return [
    `${prompts} prompts x ${samples} samples = ${rows} drawings a step${refillRounds === 0 ? '' : `, up to ${refillRounds + 1} times where groups are dropped`}, ${steps} steps`,
    `${updates} updates x ${epochs} pass${epochs === 1 ? '' : 'es'} per rollout = ${updates * epochs} updates a step, ${updates * epochs * steps} in all; each on at most ${Math.ceil(prompts / updates)} groups = ${perUpdate} drawings`,
    `${passes} micro-batch${passes === 1 ? '' : 'es'} of at most ${atOnce} drawings per update, each of at most ${capacity} tokens (${codes} of them image codes)${guidance === 1 ? '' : ', and as many again for the unconditional branch'}`,
    promptFiles.length > 0 ? `prompts from ${files}` : pool > 0 ? `a pool of ${pool} fixed prompts` : 'fresh prompts at every step',
    ...curriculum.map(({ from, tasks }) => `from step ${from}: ${tasks.join(', ')}`),
    ...(kl === undefined || kl.coefficient === 0 ? [] : ['a reference policy beside the one that is trained']),
  ];
}
