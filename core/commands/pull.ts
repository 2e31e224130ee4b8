import { exitCodes, ReasongenError } from '../errors.ts';
import { findSnapshot, hubCacheFolder, parseHubModel } from '../io/hub/cache.ts';
import { pullModel } from '../io/hub/pull.ts';
import type { CommandContext } from './context.ts';

export interface PullCommandOptions {
  readonly revision: string;
  readonly include: readonly string[];
  readonly hubUrl?: string;
  readonly offline?: boolean;
}

const publicHub = 'https://huggingface.co';

/** `pull OWNER/NAME`: a model from a hub into the shared cache; prints the folder that holds it. */
export async function pull(
  name: string,
  options: PullCommandOptions,
  { log, write, environment }: CommandContext,
): Promise<number> {
  const model = parseHubModel(name, options.revision);
  if (options.offline === true || isOn(environment['HF_HUB_OFFLINE'])) {
    const found = findSnapshot(model, environment);
    if (found === undefined) {
      throw new ReasongenError({
        code: 'NOT_PULLED',
        message: `${model.id} at ${model.revision} is not in the cache, and the network is not to be used`,
        place: hubCacheFolder(environment),
        hint: 'pull it without --offline, and without HF_HUB_OFFLINE',
        exitCode: exitCodes.disk,
      });
    }
    write(`${found}\n`);
    return exitCodes.done;
  }
  const url = options.hubUrl ?? (environment['HF_ENDPOINT'] || publicHub);
  const folder = await pullModel(model, {
    url,
    token: environment['HF_TOKEN'],
    cache: hubCacheFolder(environment),
    include: options.include,
    log,
  });
  const revision = model.revision === 'main' ? '' : `@${model.revision}`;
  log.info(`in presets: hub:${model.id}${revision}`);
  write(`${folder}\n`);
  return exitCodes.done;
}

function isOn(value: string | undefined): boolean {
  return value !== undefined && !['', '0', 'false', 'no', 'off'].includes(value.toLowerCase());
}
