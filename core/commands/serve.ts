import { basename, resolve } from 'node:path';
import type { CommandContext } from './context.ts';
import { inWordsOfFlags } from './flags.ts';
import {
  flagsOfModel,
  locateModel,
  type ModelChoice,
  publishedSampling,
  runAsPreset,
  withoutTraining,
} from './model.ts';
import { run } from './run.ts';

export interface ServeCommandOptions extends ModelChoice {
  readonly host?: string;
  readonly port?: number;
  /** What requests call the model. */
  readonly name?: string;
}

/** `serve`: runs the recipe `serve` on a published model, on a run with its newest weights, or on the components of a preset. */
export async function serveModel(given: ServeCommandOptions, context: CommandContext): Promise<number> {
  const options = runAsPreset(given);
  const name = given.name ?? nameOf(given.model ?? given.preset ?? '');
  return inWordsOfFlags(
    [
      { flag: '--weights', path: 'recipe.weights', value: options.weights },
      { flag: '--host', path: 'recipe.host', value: options.host },
      { flag: '--port', path: 'recipe.port', value: options.port },
      { flag: '--name', path: 'recipe.modelName', value: options.name },
      ...flagsOfModel(options),
    ],
    () => start(options, name, context),
  );
}

async function start(options: ServeCommandOptions, name: string, context: CommandContext): Promise<number> {
  const { host, port } = options;
  const { environment } = context;
  const { file, weights, settings } = await locateModel(options, { needsCodec: 'if any', environment });
  const recipe = {
    use: 'serve',
    ...(options.model !== undefined && publishedSampling),
    ...(weights !== undefined && { weights }),
    modelName: name,
    ...(host !== undefined && { host }),
    ...(port !== undefined && { port }),
  };
  return run(file, {
    ...context,
    settings: [...settings, ...withoutTraining, `recipe=${JSON.stringify(recipe)}`, ...context.settings],
  });
}

/** `OWNER/NAME` of a hub's model, and otherwise what the folder or the preset is called. */
function nameOf(model: string): string {
  return model.startsWith('hub:') ? model.slice('hub:'.length) : basename(resolve(model)).replace(/\.ya?ml$/, '');
}
