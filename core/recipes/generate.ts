/**
 * Draws prompts of the user's: a PNG per drawing with everything that made it in its text chunks, and one JSONL record each.
 * A run that was stopped or killed goes on with what is missing; see drawing/records.ts.
 */
import type { Plan, PlanContext, Recipe, RunContext } from '../contracts/recipe.ts';
import { ReasongenError, exitCodes } from '../errors.ts';
import { encodePng, upscale } from '../io/image.ts';
import { readTextRows, type TextRow } from '../io/text-rows.ts';
import { defineRecipe, inputFile, z } from '../plugin.ts';
import { bestOfOptions, bestOfRecord, choosingOf } from '../drawing/best-of.ts';
import { DrawingRecords, drawingFile, type DrawingSettings } from '../drawing/records.ts';
import {
  Drawer,
  samplingOf,
  samplingOptions,
  type DrawItem,
  type DrawerOptions,
  type Drawing,
} from '../drawing/drawer.ts';
import { looksWithModel } from '../judging/reserve.ts';
import { openModel } from '../models/open-model.ts';
import { planDrawing, smallerDrawing } from '../drawing/plan.ts';
import { storageOption, weightsInput } from '../models/weights.ts';

const text = z.string().trim().min(1);
const promptOption = z.union([text, z.strictObject({ prompt: text, rationale: text })]);

const options = z.strictObject({
  weights: weightsInput().describe(
    'run folder, checkpoint, published model (a folder, or hub:OWNER/NAME) or file of weights to draw with; random: seeded random weights, to measure a model without its files',
  ),
  prompts: z
    .array(promptOption)
    .default([])
    .describe('what to draw: texts, or `{ prompt, rationale }` where the rationale is given instead of written'),
  promptFile: inputFile()
    .optional()
    .describe(
      'a file with more prompts: text with one a line, behind a tab its rationale where it is given, or JSON or a table with a `prompt`',
    ),
  samplesPerPrompt: z.number().int().positive().default(1).describe('drawings per prompt'),
  promptTokens: z.number().int().positive().default(64).describe('longest prompt in tokens, special tokens included'),
  batch: z.number().int().positive().default(64).describe('drawings made at once'),
  scale: z.number().int().positive().default(1).describe('enlarge the saved pictures by this factor, pixel by pixel'),
  ...storageOption,
  ...samplingOptions,
  ...bestOfOptions,
});

type Options = z.output<typeof options>;

interface Wanted {
  readonly prompt: string;
  readonly rationale?: string;
}

export const generateRecipe = defineRecipe({
  name: 'generate',
  summary: 'writes rationales and draws pictures for given prompts',
  options,
  needs: ['tokenizer', 'imageTokenizer', 'backbone'],
  create: async (choice): Promise<Recipe> => {
    const wanted = await allPrompts(choice);
    return {
      plan: (context) => planGenerate(context, choice, wanted),
      smaller: smallerDrawing(choice, (context, smaller) => planGenerate(context, smaller, wanted)),
      run: (context) => runGenerate(context, choice, wanted),
    };
  },
});

/** Those of the preset, then those of the file. */
async function allPrompts({ prompts, promptFile, rationale }: Options): Promise<Wanted[]> {
  const fromFile = promptFile === undefined ? [] : (await readTextRows(promptFile, 'prompt')).map(wantedOf);
  const all = [...prompts.map((each): Wanted => (typeof each === 'string' ? { prompt: each } : each)), ...fromFile];
  const refuse = (message: string, hint: string, code = 'NO_PROMPTS'): never => {
    throw new ReasongenError({
      code,
      message,
      place: promptFile ?? 'recipe.prompts',
      hint,
      exitCode: exitCodes.badPreset,
    });
  };
  if (all.length === 0) {
    refuse(
      promptFile === undefined
        ? 'there is nothing to draw: no prompt was given'
        : 'the file of prompts has no prompt in it',
      'give --prompt "...", recipe.prompts, or a recipe.promptFile with one prompt a line',
    );
  }
  const given = all.find((each) => each.rationale !== undefined);
  if (!rationale && given !== undefined) {
    refuse(
      `"${given.prompt}" comes with a rationale, and recipe.rationale is false`,
      'leave out one of them',
      'RATIONALE_UNWANTED',
    );
  }
  return all;
}

function wantedOf({ text: prompt, columns }: TextRow): Wanted {
  const given = columns['rationale'];
  return typeof given === 'string' && given.trim() !== '' ? { prompt, rationale: given.trim() } : { prompt };
}

function planGenerate(context: PlanContext, choice: Options, wanted: readonly Wanted[]): Promise<Plan> {
  const { samplesPerPrompt } = choice;
  const lines = [
    `${wanted.length} prompt(s) x ${samplesPerPrompt} = ${wanted.length * samplesPerPrompt} drawings${choice.bestOf === 1 ? '' : `, each the best of ${choice.bestOf} by ${choice.chosenBy}`}, ${rowsAtOnce(choice, wanted)} at once`,
  ];
  const { weights, storage } = choice;
  return planDrawing(context, { weights, storage, ...drawerOptions(context, choice, wanted), lines });
}

function drawerOptions(context: PlanContext | RunContext, choice: Options, wanted: readonly Wanted[]): DrawerOptions {
  const { samplesPerPrompt, promptTokens } = choice;
  const prompts = rowsAtOnce(choice, wanted) / samplesPerPrompt;
  return { sampling: choice, prompts, samplesPerPrompt, promptTokens, choosing: choosingOf(context, choice) };
}

/** Of those that are kept. */
function rowsAtOnce({ batch, samplesPerPrompt, bestOf }: Options, wanted: readonly Wanted[]): number {
  return Math.min(wanted.length, Math.max(1, Math.floor(batch / (samplesPerPrompt * bestOf)))) * samplesPerPrompt;
}

async function runGenerate(context: RunContext, choice: Options, prompts: readonly Wanted[]): Promise<void> {
  const { directory, log, seed, stop } = context;
  const { samplesPerPrompt } = choice;
  const model = await openModel(context, choice, {
    text: choice.rationale || looksWithModel(context),
    image: true,
  });
  noteStrangers(context, prompts);
  const settings = {
    seed,
    samplesPerPrompt,
    model: model.hash,
    storage: choice.storage,
    scale: choice.scale,
    ...samplingOf(choice),
    ...bestOfRecord(choice),
  };
  const records = await DrawingRecords.open({
    folder: directory.path,
    settings,
    prompt: (index) => prompts[Math.floor(index / samplesPerPrompt)]?.prompt,
  });
  const together = rowsAtOnce(choice, prompts) / samplesPerPrompt;
  const drawer = await Drawer.open(context, model.parameters, model.workspace, drawerOptions(context, choice, prompts));
  const progress = log.progress('drawing', prompts.length * samplesPerPrompt, { unit: 'drawing', done: records.count });
  if (records.count > 0)
    log.info(`${records.count} of ${prompts.length * samplesPerPrompt} drawings are there already`);
  const isMissing = (prompt: number): boolean =>
    Array.from({ length: samplesPerPrompt }, (_, sample) => prompt * samplesPerPrompt + sample).some(
      (index) => !records.has(index),
    );
  try {
    const items = prompts.map((each): DrawItem => ({ ...each, task: 'generate', specification: null }));
    drawer.refuseTooLong(items);
    for (let start = 0; start < prompts.length && !stop.requested;) {
      let end = start;
      while (end < prompts.length && end - start < together && isMissing(end)) end++;
      const drawings = await drawer.draw(
        items.slice(start, end),
        seed,
        { label: 'prompt', step: 0, phase: 'evaluation' },
        start,
        ({ phase, step, steps }) => progress.advance(0, `${phase} token ${step} of ${steps}`),
      );
      for (const [offset, drawing] of drawings.entries()) {
        const index = start * samplesPerPrompt + offset;
        if (records.has(index)) continue;
        await save(
          context,
          records,
          settings,
          drawing,
          index,
          items[start + Math.floor(offset / samplesPerPrompt)]?.rationale !== undefined,
        );
        progress.advance(1);
      }
      start = Math.max(end, start + 1);
    }
  } finally {
    progress.end();
    drawer.close();
    model.close();
  }
}

/** A model that was trained on a small world draws that world, whatever it is asked for: said in one line. */
function noteStrangers(context: RunContext, prompts: readonly Wanted[]): void {
  if (!context.has('dataset') || !('corpus' in context.dataset)) return;
  const wordsOf = (some: string): string[] => some.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  const known = new Set(context.dataset.corpus().flatMap(wordsOf));
  const unknown = prompts.map(({ prompt }) => wordsOf(prompt).filter((word) => !known.has(word)));
  const strangers = unknown.filter((words) => words.length > 0);
  if (strangers.length === 0) return;
  const some = [...new Set(strangers.flat())].slice(0, 6).join(', ');
  context.log.warn(
    `${strangers.length} of ${prompts.length} prompts are outside of the world that this preset's dataset makes, which has no word for: ${some}; what is drawn is of that world`,
  );
}

async function save(
  { log }: RunContext,
  records: DrawingRecords,
  settings: DrawingSettings & { readonly scale: number },
  drawing: Drawing,
  index: number,
  rationaleGiven: boolean,
): Promise<void> {
  const { prompt, rationale, rationaleEnded, image } = drawing.sample;
  const file = drawingFile(index);
  const words = Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, String(value)]));
  // Whether rationales are written is a setting, too; in the picture the word stands for what was written.
  const png = await encodePng(upscale(image, settings.scale), { ...words, prompt, rationale });
  const { codes } = drawing.sequence;
  const chosenFrom = drawing.chosenFrom?.map((score) => score ?? null);
  const record = { index, file, prompt, rationale, rationaleGiven, rationaleEnded, settings, codes };
  await records.add([{ ...record, ...(chosenFrom !== undefined && { chosenFrom }) }], png);
  const chosen = drawing.chosenFrom === undefined ? '' : ` | the best of ${drawing.chosenFrom.length}`;
  log.info(`${file}: ${prompt}${rationale === '' ? '' : ` | ${rationale}`}${chosen}`);
}
