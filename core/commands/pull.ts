import { exitCodes, ReasongenError } from '../errors.ts';
import { findSnapshot, hubCacheFolder, parseHubModel } from '../io/hub/cache.ts';
import { hubAddress } from '../io/hub/client.ts';
import { pullModel, type PullOptions } from '../io/hub/pull.ts';
import { missingFiles } from '../io/hub/pulled.ts';
import { readKey } from '../keys.ts';
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
        exitCode: exitCodes.badPreset,
      });
    }
    const missing = await missingFiles(found, options.include.length > 0);
    if (missing.length > 0)
      throw new ReasongenError({
        code: 'NOT_WHOLE',
        message: `the cache holds a part of ${model.id} only; missing: ${missing.slice(0, 20).join(', ')}${missing.length > 20 ? ', …' : ''}`,
        place: found,
        hint: 'pull it without --offline, and without HF_HUB_OFFLINE: what is there is kept',
        exitCode: exitCodes.disk,
      });
    write(`${found}\n`);
    return exitCodes.done;
  }
  const own = environment['HF_ENDPOINT'] || publicHub;
  const url = hubAddress(options.hubUrl ?? own);
  const folder = await pullModel(model, {
    url,
    ...tokenFor(url, own, environment),
    environment,
    cache: hubCacheFolder(environment),
    include: options.include,
    log,
  });
  const revision = model.revision === 'main' ? '' : `@${model.revision}`;
  log.info(`in presets: hub:${model.id}${revision}`);
  write(`${folder}\n`);
  return exitCodes.done;
}

/** A token is given to the hub of the environment; an address that was typed or copied may be anyone's. */
function tokenFor(
  url: string,
  own: string,
  environment: CommandContext['environment'],
): Pick<PullOptions, 'token' | 'tokenHint'> {
  if ([own, publicHub].some((hub) => URL.canParse(hub) && new URL(hub).origin === new URL(url).origin))
    return { token: readKey('HF_TOKEN', url, environment) };
  return environment['HF_TOKEN']
    ? {
        tokenHint:
          'HF_TOKEN was not sent, because it is for another hub: to send it there, set HF_ENDPOINT to this address',
      }
    : {};
}

function isOn(value: string | undefined): boolean {
  return value !== undefined && !['', '0', 'false', 'no', 'off'].includes(value.toLowerCase());
}
