/** The model a command works with: a preset, a run with its newest weights, or the folder of a published model. */
import { existsSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PublishedFormat } from '../contracts/published.ts';
import type { Environment } from '../environment.ts';
import { ReasongenError, exitCodes } from '../errors.ts';
import { trainedRun } from '../io/chain.ts';
import { findSnapshot, parseHubModel } from '../io/hub/cache.ts';
import { loadCatalogOf, loadPreset } from '../preset/load.ts';
import { presetFile } from '../io/run-directory.ts';
import { presetOfRun } from '../run.ts';
import type { CommandContext } from './context.ts';
import type { TypedFlag } from './flags.ts';

export interface ModelChoice {
  /** A preset file, or a run directory, whose newest weights are then used; of a chain those of the last stage that has any. */
  readonly preset?: string;
  /** Folder of a published model, or `hub:OWNER/NAME`, or a run directory (`runAsPreset`): instead of a preset. */
  readonly model?: string;
  readonly weights?: string;
}

export interface LocatedModel {
  /** The preset. */
  readonly file: string;
  readonly weights: string | undefined;
  /** Texts of `--set` that go before those of the user. */
  readonly settings: readonly string[];
}

/** How the published models draw best; a run knows by itself. */
export const publishedSampling = { guidance: 5, imageTemperature: 1, rationaleTokens: 448 };

/** Pictures of a published model at once, and room for the prompts of every benchmark. */
export const publishedBatch = { batch: 16, promptTokens: 320 };

/** What belongs to a training and not to its model: extensions hear of nothing, and rewards are not made, which may need keys. */
export const withoutTraining = ['extensions=[]', 'rewards=[]'];

/** A preset that fills no slot. */
export const publishedPreset = fileURLToPath(new URL('../../presets/base/published.yaml', import.meta.url));

/** A run that is named as a model is its preset with its newest weights. */
export function runAsPreset<Choice extends ModelChoice>(choice: Choice): Choice {
  const { model, ...others } = choice;
  return model !== undefined && choice.preset === undefined && isRun(model)
    ? ({ ...others, preset: model } as Choice)
    : choice;
}

function isRun(path: string): boolean {
  return existsSync(join(path, presetFile));
}

/** `needsCodec`: whether pictures are drawn, so that the model's codec is opened as well; `if any`: where it has one. */
export async function locateModel(
  { preset, model, weights }: ModelChoice,
  { needsCodec, environment }: { readonly needsCodec: boolean | 'if any'; readonly environment: Environment },
): Promise<LocatedModel> {
  if ((preset === undefined) === (model === undefined)) {
    throw new ReasongenError({
      code: 'WHICH_MODEL',
      message: preset === undefined ? 'no model is named' : 'a preset and a model are named',
      hint: 'give either --model FOLDER (of a published model or a run, or hub:OWNER/NAME), or --preset FILE or RUN',
      exitCode: exitCodes.badPreset,
    });
  }
  if (model !== undefined) {
    const folder = model.startsWith('hub:') ? model : resolve(model);
    const { opens = {}, name } = await formatOf(model, environment);
    if (needsCodec === true && opens.imageTokenizer === undefined)
      throw new ReasongenError({
        code: 'CANNOT_DRAW',
        message: `models of the class ${name} read pictures and write text; they draw no pictures`,
        place: `--model ${model}`,
        hint: 'use a model that draws, such as Janus-Pro; `reasongen ask` works with this one',
        exitCode: exitCodes.badPreset,
      });
    const slots = ['tokenizer', ...(needsCodec === false ? [] : (['imageTokenizer'] as const)), 'backbone'] as const;
    return {
      file: publishedPreset,
      weights: weightsPath(weights) ?? folder,
      settings: slots.flatMap((slot) => {
        const opened = opens[slot];
        return opened === undefined ? [] : [`${slot}=${JSON.stringify({ use: opened.use, [opened.option]: folder })}`];
      }),
    };
  }
  const file = preset ?? '';
  if (!existsSync(file) || !statSync(file).isDirectory()) return { file, weights: weightsPath(weights), settings: [] };
  const run = (await trainedRun(file)) ?? file;
  return { file: presetOfRun(run), weights: weightsPath(weights) ?? resolve(run), settings: [] };
}

/** The class of a published model by its config.json; that of Janus where there is none to be read, whose components say what is missing. */
async function formatOf(model: string, environment: Environment): Promise<PublishedFormat> {
  const formats = (await loadCatalogOf([])).plugins.flatMap((plugin) => plugin.formats ?? []);
  const folder = model.startsWith('hub:')
    ? findSnapshot(parseHubModel(model.slice('hub:'.length)), environment)
    : resolve(model);
  const config = folder === undefined ? undefined : await readConfig(join(folder, 'config.json'));
  const [first] = formats.filter(({ name }) => name === 'janus');
  const found = formats.find((format) => format.opens !== undefined && format.layoutOf(config) !== undefined) ?? first;
  if (found === undefined) throw new RangeError('unreachable: the class of Janus comes with the program');
  return found;
}

async function readConfig(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch {
    return undefined;
  }
}

/** The components that `--model` puts into the preset. */
export function flagsOfModel({ model }: ModelChoice): TypedFlag[] {
  if (model === undefined) return [];
  return ['tokenizer', 'imageTokenizer', 'backbone'].map((path) => ({ flag: '--model', path, value: model }));
}

/** Words and hub models are no paths. */
function weightsPath(weights: string | undefined): string | undefined {
  return weights === undefined || weights === 'random' || weights.startsWith('hub:') ? weights : resolve(weights);
}

/** The one reward that chooses the best of several drawings: with the options of the preset where that has it, else with its defaults. */
export async function chooserSettings(
  { bestOf, chosenBy }: { readonly bestOf: number | undefined; readonly chosenBy: string | undefined },
  preset: string,
  settings: readonly string[],
  environment: CommandContext['environment'],
  recipe?: string,
): Promise<string[]> {
  if (bestOf === undefined && chosenBy === undefined) return [];
  if (bestOf === undefined || chosenBy === undefined)
    throw new ReasongenError({
      code: 'NO_CHOOSER',
      message:
        bestOf === undefined
          ? 'a reward is named that chooses, and not of how many drawings'
          : `the best of ${bestOf} is wanted, and no reward is named that chooses`,
      hint: 'give both: --best-of 8 and the name of a reward',
      exitCode: exitCodes.badPreset,
    });
  const loaded = await loadPreset(preset, {
    settings: [...settings.filter((text) => !text.startsWith('recipe=')), ...(recipe === undefined ? [] : [recipe])],
    environment,
  });
  const own = loaded.stages.at(-1)?.preset.components['reward']?.find(({ name }) => name === chosenBy);
  const chooser = own === undefined ? chosenBy : { use: own.use, name: own.name, ...own.options };
  return [`rewards=${JSON.stringify([chooser])}`];
}
