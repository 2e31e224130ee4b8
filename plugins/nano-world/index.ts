/** The nano world: a tiny domain of twelve sprites in which the whole pipeline runs on two CPU cores. */
import { defineBenchmark, defineDataset, definePlugin, defineReward, z } from '../../core/plugin.ts';
import { createNanoGeneval } from './benchmark.ts';
import { paintedCodes } from './credit.ts';
import { createNanoDataset } from './dataset.ts';
import { agreementReward, formatReward, verdictReward } from './rewards.ts';

export default definePlugin({
  name: 'nano-world',
  provides: [
    defineDataset({
      name: 'nano-world',
      summary:
        "Scenes of one to four sprites on a 48 x 48 canvas, with prompts in GenEval's words and plans as rationales",
      options: z.strictObject({}),
      create: () => createNanoDataset(),
    }),
    defineReward({
      name: 'nano-verdict',
      summary: "Whether the picture shows what the prompt asks for, by GenEval's rules on detected sprites",
      options: z.strictObject({
        strict: z.boolean().default(true).describe('Also demand the exact number of objects and no unexplained paint'),
        graded: z.boolean().default(false).describe('Give the mean of the clauses instead of 0 or 1'),
      }),
      create: (options) => verdictReward(options),
    }),
    defineReward({
      name: 'plan-format',
      summary:
        'Whether the rationale is a complete plan, in one of the three wordings, that names what the prompt asks for',
      options: z.strictObject({}),
      create: () => formatReward(),
    }),
    defineReward({
      name: 'plan-agreement',
      summary: 'Whether the picture has objects in exactly the cells its rationale names',
      options: z.strictObject({}),
      create: () => agreementReward(),
    }),
    defineBenchmark({
      name: 'nano-geneval',
      summary: "GenEval's six tasks in the nano world, the same number of prompts for each",
      options: z.strictObject({
        verdict: z
          .enum(['strict', 'geneval'])
          .default('strict')
          .describe('strict: nothing but what was asked for; geneval: extra objects are free'),
      }),
      create: (options) => createNanoGeneval(options),
    }),
    paintedCodes,
  ],
});
