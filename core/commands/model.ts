/** The model a command works with: a preset, a run with its newest weights, or the folder of a published model. */
import { existsSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ReasongenError, exitCodes } from '../errors.ts';
import { trainedRun } from '../io/chain.ts';
import { loadPreset } from '../preset/load.ts';
import { presetOfRun } from '../run.ts';
import type { CommandContext } from './context.ts';
import type { TypedFlag } from './flags.ts';

export interface ModelChoice {
  /** A preset file, or a run directory, whose newest weights are then used; of a chain those of the last stage that has any. */
  readonly preset?: string;
  /** Folder of a published model, or `hub:OWNER/NAME`: instead of a preset. */
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

/** `needsCodec`: whether pictures are drawn, so that the model's codec is opened as well. */
export async function locateModel(
  { preset, model, weights }: ModelChoice,
  { needsCodec }: { readonly needsCodec: boolean },
): Promise<LocatedModel> {
  if ((preset === undefined) === (model === undefined)) {
    throw new ReasongenError({
      code: 'WHICH_MODEL',
      message: preset === undefined ? 'no model is named' : 'a preset and a model are named',
      hint: 'give either --model FOLDER (or hub:OWNER/NAME) of a published model, or --preset FILE or RUN',
      exitCode: exitCodes.badPreset,
    });
  }
  if (model !== undefined) {
    const folder = model.startsWith('hub:') ? model : resolve(model);
    const use = (slot: string, component: string, key: string): string =>
      `${slot}=${JSON.stringify({ use: component, [key]: folder })}`;
    return {
      file: publishedPreset,
      weights: weightsPath(weights) ?? folder,
      settings: [
        use('tokenizer', 'huggingface', 'file'),
        ...(needsCodec ? [use('imageTokenizer', 'vq', 'checkpoint')] : []),
        use('backbone', 'janus-checkpoint', 'checkpoint'),
      ],
    };
  }
  const file = preset ?? '';
  const isRun = existsSync(file) && statSync(file).isDirectory();
  if (!isRun) return { file, weights: weightsPath(weights), settings: [] };
  const run = (await trainedRun(file)) ?? file;
  return { file: presetOfRun(run), weights: weightsPath(weights) ?? resolve(run), settings: [] };
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
    settings: settings.filter((text) => !text.startsWith('recipe=')),
    environment,
  });
  const own = loaded.stages.at(-1)?.preset.components['reward']?.find(({ name }) => name === chosenBy);
  const chooser = own === undefined ? chosenBy : { use: own.use, name: own.name, ...own.options };
  return [`rewards=${JSON.stringify([chooser])}`];
}
