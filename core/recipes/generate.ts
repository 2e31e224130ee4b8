/** Draws prompts of the user's: a PNG per drawing with everything that made it in its text chunks, and one JSONL record each. */
import { appendFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ParameterSet } from '../autograd/parameters.ts';
import { Workspace } from '../autograd/program.ts';
import type { Recipe, RunContext } from '../contracts/recipe.ts';
import { ReasongenError, exitCodes } from '../errors.ts';
import { loadWeights } from '../io/checkpoint.ts';
import { diskError, writeDurably } from '../io/disk.ts';
import { encodePng, upscale } from '../io/image.ts';
import { defineRecipe, inputFile, z } from '../plugin.ts';
import { Drawer, samplingOptions } from './drawing.ts';
import { memoryPlan } from './memory.ts';
import { floats } from './training.ts';

const options = z.strictObject({
  weights: inputFile().describe('checkpoint, run folder or safetensors file to draw with'),
  prompts: z.array(z.string().trim().min(1)).min(1).describe('what to draw'),
  samples: z.number().int().positive().default(1).describe('drawings per prompt'),
  promptTokens: z.number().int().positive().default(64).describe('longest prompt in tokens, special tokens included'),
  batch: z.number().int().positive().default(64).describe('drawings made at once'),
  scale: z.number().int().positive().default(1).describe('enlarge the saved pictures by this factor, pixel by pixel'),
  ...samplingOptions,
});

type GenerateOptions = z.output<typeof options>;

export const generate = defineRecipe({
  name: 'generate',
  summary: 'writes rationales and draws pictures for given prompts',
  options,
  needs: ['tokenizer', 'imageTokenizer', 'backbone'],
  create: (choice): Recipe => ({
    plan: (context) => {
      const { grid } = context.imageTokenizer;
      const capacity = choice.promptTokens + choice.rationaleTokens + grid.rows * grid.columns;
      const rows = rowsAtOnce(choice);
      return memoryPlan(context, {
        tokens: rows * choice.promptTokens,
        trained: false,
        sampler: { rows: rows * (choice.guidance === 1 ? 1 : 2), capacity },
        lines: [`${choice.prompts.length} prompt(s) x ${choice.samples} = ${choice.prompts.length * choice.samples} drawings, ${rows} at once`],
      });
    },
    run: (context) => runGenerate(context, choice),
  }),
});

function rowsAtOnce({ batch, samples, prompts }: GenerateOptions): number {
  return Math.min(prompts.length, Math.max(1, Math.floor(batch / samples))) * samples;
}

async function runGenerate(context: RunContext, choice: GenerateOptions): Promise<void> {
  const { device, directory, log, stop } = context;
  const workspace = new Workspace(device);
  const parameters = new ParameterSet(device, context.backbone.parameters, { seed: context.seed });
  const { weights, path, hash } = await loadWeights(choice.weights);
  parameters.load(floats(weights, path), path);
  const prompts = rowsAtOnce(choice) / choice.samples;
  const drawer = await Drawer.open(context, parameters, workspace, { sampling: choice, prompts, samplesPerPrompt: choice.samples, promptTokens: choice.promptTokens });
  const progress = log.progress('drawing', choice.prompts.length * choice.samples, { unit: 'drawing' });
  try {
    await mkdir(directory.path, { recursive: true });
    for (let start = 0; start < choice.prompts.length && !stop.requested; start += prompts) {
      const items = choice.prompts.slice(start, start + prompts).map((prompt) => ({ prompt, task: 'generate', specification: null }));
      const drawings = await drawer.draw(items, context.seed + start, `prompt-${start}`);
      for (const [offset, { sample, sequence }] of drawings.entries()) {
        const file = `${String(start * choice.samples + offset).padStart(5, '0')}.png`;
        const facts = { prompt: sample.prompt, rationale: sample.rationale, seed: String(context.seed), model: hash, guidance: String(choice.guidance) };
        await writeDurably(join(directory.path, file), [await encodePng(upscale(sample.image, choice.scale), facts)]);
        const { guidance, textTemperature, imageTemperature } = choice;
        const record = { file, ...facts, guidance, textTemperature, imageTemperature, rationaleEnded: sample.rationaleEnded, codes: sequence.codes };
        await appendFile(join(directory.path, 'drawings.jsonl'), `${JSON.stringify(record)}\n`);
        log.info(`${file}: ${sample.prompt}${sample.rationale === '' ? '' : ` | ${sample.rationale}`}`);
      }
      progress.advance(drawings.length);
    }
  } catch (cause) {
    if (cause instanceof ReasongenError) throw cause;
    throw cause instanceof Error && 'code' in cause
      ? diskError(cause, 'saving drawings', directory.path)
      : new ReasongenError({ code: 'GENERATE_FAILED', message: `drawing failed: ${String(cause)}`, exitCode: exitCodes.failure, cause });
  } finally {
    progress.end();
    drawer.close();
    parameters.close();
    workspace.close();
  }
}
