/** Draws prompts of the user's: a PNG per drawing with everything that made it in its text chunks, and one JSONL record each. */
import { readFileSync } from 'node:fs';
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ParameterSet } from '../autograd/parameters.ts';
import { Workspace } from '../autograd/program.ts';
import type { Plan, PlanContext, Recipe, RunContext } from '../contracts/recipe.ts';
import { ReasongenError, exitCodes } from '../errors.ts';
import { disk, diskError, replaceFile } from '../io/disk.ts';
import { encodePng, upscale } from '../io/image.ts';
import { defineRecipe, inputFile, z } from '../plugin.ts';
import { Drawer, samplingOptions, type Drawing } from './drawing.ts';
import { memoryPlan } from './memory.ts';
import { openWeights, storageOption } from './weights.ts';

const options = z.strictObject({
  weights: inputFile().describe('checkpoint, run folder or safetensors file to draw with'),
  prompts: z.array(z.string().trim().min(1)).default([]).describe('what to draw'),
  promptFile: inputFile().optional().describe('a text file with more prompts, one a line'),
  samples: z.number().int().positive().default(1).describe('drawings per prompt'),
  promptTokens: z.number().int().positive().default(64).describe('longest prompt in tokens, special tokens included'),
  batch: z.number().int().positive().default(64).describe('drawings made at once'),
  scale: z.number().int().positive().default(1).describe('enlarge the saved pictures by this factor, pixel by pixel'),
  ...storageOption,
  ...samplingOptions,
});

/** One line for each drawing: what made it, and its codes. */
const recordFile = 'drawings.jsonl';

/** The options with the prompts of both sources together. */
type GenerateOptions = z.output<typeof options>;

export const generate = defineRecipe({
  name: 'generate',
  summary: 'writes rationales and draws pictures for given prompts',
  options,
  needs: ['tokenizer', 'imageTokenizer', 'backbone'],
  create: (written): Recipe => {
    const choice = { ...written, prompts: allPrompts(written) };
    return { plan: (context) => planGenerate(context, choice), run: (context) => runGenerate(context, choice) };
  },
});

/** Those of the preset, then those of the file. */
function allPrompts({ prompts, promptFile }: GenerateOptions): string[] {
  const lines = promptFile === undefined ? [] : readFileSync(promptFile, 'utf8').split('\n');
  const all = [...prompts, ...lines.map((line) => line.trim()).filter((line) => line !== '')];
  if (all.length > 0) return all;
  throw new ReasongenError({
    code: 'NO_PROMPTS',
    message: promptFile === undefined ? 'there is nothing to draw: no prompt was given' : 'the file of prompts has no prompt in it',
    place: promptFile ?? 'recipe.prompts',
    cure: 'give --prompt "...", recipe.prompts, or a recipe.promptFile with one prompt a line',
    exitCode: exitCodes.badPreset,
  });
}

function planGenerate(context: PlanContext, choice: GenerateOptions): Plan {
  const { grid } = context.imageTokenizer;
  const capacity = choice.promptTokens + choice.rationaleTokens + grid.rows * grid.columns;
  const rows = rowsAtOnce(choice);
  return memoryPlan(context, {
    tokens: rows * choice.promptTokens,
    trained: false,
    storage: choice.storage,
    sampler: { rows: rows * (choice.guidance === 1 ? 1 : 2), capacity },
    lines: [`${choice.prompts.length} prompt(s) x ${choice.samples} = ${choice.prompts.length * choice.samples} drawings, ${rows} at once`],
  });
}

function rowsAtOnce({ batch, samples, prompts }: GenerateOptions): number {
  return Math.min(prompts.length, Math.max(1, Math.floor(batch / samples))) * samples;
}

async function runGenerate(context: RunContext, choice: GenerateOptions): Promise<void> {
  const { device, directory, log, stop } = context;
  // Left by a session that was stopped: the same drawings are made again.
  await disk.rm(join(directory.path, recordFile), { force: true });
  const workspace = new Workspace(device);
  const parameters = new ParameterSet(device, context.backbone.parameters, { seed: context.seed, storage: choice.storage });
  const hash = await openWeights(context, parameters, choice.weights);
  const prompts = rowsAtOnce(choice) / choice.samples;
  const drawer = await Drawer.open(context, parameters, workspace, { sampling: choice, prompts, samplesPerPrompt: choice.samples, promptTokens: choice.promptTokens });
  const progress = log.progress('drawing', choice.prompts.length * choice.samples, { unit: 'drawing' });
  try {
    for (let start = 0; start < choice.prompts.length && !stop.requested; start += prompts) {
      const items = choice.prompts.slice(start, start + prompts).map((prompt) => ({ prompt, task: 'generate', specification: null }));
      const drawings = await drawer.draw(items, context.seed, 'prompt', start);
      for (const [offset, drawing] of drawings.entries()) await saveDrawing(context, choice, drawing, start * choice.samples + offset, hash);
      progress.advance(drawings.length);
    }
  } finally {
    progress.end();
    drawer.close();
    parameters.close();
    workspace.close();
  }
}

async function saveDrawing(context: RunContext, choice: GenerateOptions, { sample, sequence }: Drawing, index: number, model: string): Promise<void> {
  const { directory, log, seed } = context;
  const { guidance, textTemperature, imageTemperature, scale } = choice;
  const { prompt, rationale, rationaleEnded, image } = sample;
  const file = `${String(index).padStart(5, '0')}.png`;
  const png = await encodePng(upscale(image, scale), { prompt, rationale, seed: String(seed), model, guidance: String(guidance) });
  const record = { file, prompt, rationale, rationaleEnded, seed, model, guidance, textTemperature, imageTemperature, codes: sequence.codes };
  try {
    await replaceFile(join(directory.path, file), png);
    await appendFile(join(directory.path, recordFile), `${JSON.stringify(record)}\n`);
  } catch (cause) {
    throw diskError(cause, `saving ${file}`, directory.path);
  }
  log.info(`${file}: ${prompt}${rationale === '' ? '' : ` | ${rationale}`}`);
}
