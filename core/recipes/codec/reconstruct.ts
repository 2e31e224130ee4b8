/**
 * How much of a picture survives the image tokenizer: examples encoded, decoded and judged. The pass rate is the ceiling of
 * every model that draws with these codes.
 */
import type { Plan, PlanContext, Recipe, RunContext } from '../../contracts/recipe.ts';
import type { Sample } from '../../contracts/reward.ts';
import type { Image } from '../../contracts/image.ts';
import { defineRecipe, z } from '../../plugin.ts';
import { fromSamples } from '../../evaluation/pictures.ts';
import { recordEvaluation } from '../../evaluation/record.ts';
import { summarize } from '../evaluate.ts';
import { refuseOtherPictures, requireGenerated } from '../generated.ts';
import { MemoryAccount } from '../../models/memory-accounting.ts';
import { planDecoding, planEncoding } from '../../drawing/plan.ts';
import { at } from '../../tensor/at.ts';

const options = z.strictObject({
  count: z.number().int().positive().default(300).describe('examples to encode and decode'),
  exampleSeed: z
    .number()
    .int()
    .nonnegative()
    .default(2000)
    .describe('seed of the examples; not one that trained the codec'),
  pictures: z
    .number()
    .int()
    .nonnegative()
    .default(24)
    .describe('reconstructions kept with their pictures in the record'),
});

type ReconstructOptions = z.output<typeof options>;

export const reconstruct = defineRecipe({
  name: 'reconstruct',
  summary: 'encodes and decodes examples and judges what is left: the ceiling of an image tokenizer',
  options,
  needs: ['imageTokenizer', 'dataset', 'benchmark'],
  create: (choice): Recipe => ({
    plan: (context) => planReconstruct(context, choice),
    run: (context) => runReconstruct(context, choice),
  }),
});

async function planReconstruct(context: PlanContext, { count }: ReconstructOptions): Promise<Plan> {
  refuseOtherPictures(context);
  const account = new MemoryAccount(context);
  await planEncoding(context, count);
  await planDecoding(context, { prompts: count, samplesPerPrompt: 1 });
  account.note('image tokenizer');
  return account.plan([`${count} examples`]);
}

async function runReconstruct(context: RunContext, choice: ReconstructOptions): Promise<void> {
  const { dataset, imageTokenizer, log } = context;
  const examples = Array.from({ length: choice.count }, (_, index) =>
    requireGenerated(dataset, 'reconstruct').example(index, choice.exampleSeed),
  );
  const codes = await imageTokenizer.encode(examples.map(({ image }) => image));
  const images = await imageTokenizer.decode(codes);
  const samples = examples.map((example, index): Sample => {
    const image = images[index];
    if (image === undefined) throw new RangeError(`no reconstruction of example ${index}`);
    const { prompt, task, specification, rationale } = example;
    return {
      id: `example-${index}`,
      prompt,
      task,
      specification,
      rationale,
      rationaleEnded: true,
      group: index,
      copy: 0,
      step: 0,
      phase: 'evaluation' as const,
      image,
      codes: codes[index] ?? [],
    };
  });
  const noise = examples.map(({ image }, index) =>
    images[index] === undefined ? 0 : meanSquare(image, images[index]),
  );
  const decibels = -10 * Math.log10(noise.reduce((sum, value) => sum + value, 0) / noise.length);
  for (const named of context.benchmarks) {
    const plan = {
      label: 'reconstruction',
      step: 0,
      split: 'seen',
      seed: choice.exampleSeed,
      pictures: choice.pictures,
      items: examples,
      samplesPerPrompt: 1,
      sampling: {},
    };
    const record = await recordEvaluation(context, named, plan, fromSamples(samples), {
      'peak signal-to-noise ratio (dB)': decibels,
      'codes in use': new Set(codes.flat()).size,
    });
    if (record !== undefined) log.info(`${summarize(record)}; ${decibels.toFixed(1)} dB`);
  }
}

/** Mean squared difference, values in 0 … 1. */
function meanSquare(a: Image, b: Image): number {
  return a.data.reduce((sum, value, index) => sum + ((value - at(b.data, index)) / 255) ** 2, 0) / a.data.length;
}
