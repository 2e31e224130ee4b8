/** Judges pictures that some other tool has made, in the folders of a benchmark's original scorer. No model is needed. */
import type { Plan, Recipe, RunContext } from '../contracts/recipe.ts';
import { givenPictures } from '../evaluation/given-pictures.ts';
import { recordEvaluation } from '../evaluation/record.ts';
import { reserveJudges } from '../judging/reserve.ts';
import { MemoryAccount } from '../models/memory-accounting.ts';
import { defineRecipe, inputFile, z } from '../plugin.ts';
import { tell } from './evaluate.ts';

const options = z.strictObject({
  pictures: inputFile().describe(
    "folder with pictures of the benchmark's prompts, laid out as its original scorer reads them",
  ),
  label: z.string().default('evaluation').describe('names the record and its rows in the report'),
  split: z.enum(['seen', 'heldout']).default('heldout').describe('which prompts they were drawn for'),
  count: z
    .number()
    .int()
    .positive()
    .optional()
    .describe('prompts they were drawn for; absent: all of a benchmark whose list is fixed, else 600'),
  evaluationSeed: z
    .number()
    .int()
    .nonnegative()
    .default(1000)
    .describe('seed of the prompts, where a benchmark makes them'),
  partial: z
    .boolean()
    .default(false)
    .describe('leave out prompts without any picture, instead of counting them as wrong'),
  shown: z.number().int().nonnegative().default(24).describe('samples kept with their pictures in the record'),
});

type Options = z.output<typeof options>;

export const evaluatePictures = defineRecipe({
  name: 'evaluate-pictures',
  summary: 'judges pictures that another tool has made, in the folders of the original scorer',
  options,
  needs: ['benchmark'],
  create: (choice): Recipe => ({
    plan: async (context): Promise<Plan> => {
      const account = new MemoryAccount(context);
      await reserveJudges(context);
      account.note('judges');
      return account.plan(['pictures of a folder are judged']);
    },
    mayDoWithoutDevice: true,
    run: (context) => runEvaluation(context, choice),
  }),
});

async function runEvaluation(context: RunContext, choice: Options): Promise<void> {
  const { label, evaluationSeed: seed, shown, partial } = choice;
  for (const named of context.benchmarks) {
    const { benchmark } = named;
    const split =
      benchmark.splits?.includes(choice.split) === false ? (benchmark.splits[0] ?? 'heldout') : choice.split;
    const items = benchmark.prompts(split, choice.count ?? benchmark.size ?? 600, seed);
    const given = await givenPictures(context, named, { folder: choice.pictures, items, isPartial: partial });
    const { samplesPerPrompt, departures } = given;
    const plan = {
      label,
      step: 0,
      split,
      seed,
      items: given.items,
      samplesPerPrompt,
      pictures: shown,
      sampling: {},
      departures,
      isResumable: true,
    };
    const record = await recordEvaluation(context, named, plan, given.source);
    if (record !== undefined) tell(context, record);
    if (context.stop.requested) return;
  }
}
