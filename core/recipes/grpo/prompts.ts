/** Where the prompts of a GRPO run come from: files, or the dataset of the preset. */
import type { PlanContext, RunContext } from '../../contracts/recipe.ts';
import type { GrpoOptions } from './options.ts';
import { PromptMix, readPromptFiles, type PromptList } from './prompt-files.ts';
import { datasetStream, PromptSource, type PromptStream } from './prompt-source.ts';

export interface Prompts {
  readonly source: PromptSource;
  /** Of `evaluationFiles`, without what is trained on. */
  readonly heldOut: readonly PromptList[];
}

export async function openPrompts(context: RunContext, choice: GrpoOptions): Promise<Prompts> {
  const { tokenizer, seed, log } = context;
  const { lists, heldOut } = await readLists(choice);
  for (const { file, items, repeated } of [...lists, ...heldOut]) {
    log.info(
      `${file}: ${items.length} prompts${repeated === 0 ? '' : `; ${repeated} lines left out that had occurred before`}`,
    );
  }
  const { pool, tasks, curriculum } = choice;
  const limit = choice.promptTokens;
  const fits =
    choice.tooLong === 'stop'
      ? {}
      : {
          fits: ({ prompt }: { readonly prompt: string }) =>
            tokenizer.prompt(prompt, choice.rationale ? 'rationale' : 'direct').length <= limit,
        };
  return {
    source: new PromptSource(lists.length === 0 ? datasetStream(context.dataset, seed) : fileStream(lists, seed), {
      pool,
      tasks,
      curriculum,
      ...fits,
    }),
    heldOut,
  };
}

function fileStream(lists: readonly PromptList[], seed: number): PromptStream {
  const mix = new PromptMix(lists, seed);
  return {
    tasks: [...new Set(lists.flatMap(({ items }) => items.map(({ task }) => task)))],
    prompt: (index) => mix.at(index),
  };
}

/**
 * Throws what would end the run before its first step: a file of prompts that cannot be read, or a dataset that the preset does not name
 * (MISSING_COMPONENT).
 */
export async function checkPrompts(context: PlanContext, choice: GrpoOptions): Promise<void> {
  if (choice.promptFiles.length === 0) void context.dataset;
  await readLists(choice);
}

async function readLists(choice: GrpoOptions): Promise<{ lists: PromptList[]; heldOut: PromptList[] }> {
  const lists = await readPromptFiles(choice.promptFiles);
  const trained = new Set(lists.flatMap(({ items }) => items.map(({ prompt }) => prompt)));
  return { lists, heldOut: await readPromptFiles(choice.evaluationFiles, trained) };
}
