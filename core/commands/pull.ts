import { exitCodes, ReasongenError } from '../errors.ts';
import { findSnapshot, hubCacheFolder, parseHubModel } from '../io/hub/cache.ts';
import { hubAddress } from '../io/hub/client.ts';
import { pullModel, type PullOptions } from '../io/hub/pull.ts';
import { missingFiles } from '../io/hub/pulled.ts';
import { readKey } from '../keys.ts';
import { whyNotWritable } from '../setup/writable.mjs';
import type { CommandContext } from './context.ts';

export interface PullCommandOptions {
  readonly revision: string;
  readonly include: readonly string[];
  /** In place of patterns: the files of configuration. */
  readonly only?: 'config';
  readonly hubUrl?: string;
  readonly offline?: boolean;
}

/** What a plan reads of a model. */
const configFiles = ['config', 'generation_config', 'preprocessor_config', 'processor_config', 'tokenizer_config'].map(
  (name) => `${name}.json`,
);

const publicHub = 'https://huggingface.co';

/** `pull OWNER/NAME`: a model from a hub into the shared cache; prints the folder that holds it. */
export async function pull(
  name: string,
  options: PullCommandOptions,
  { log, write, environment }: CommandContext,
): Promise<number> {
  const model = parseHubModel(name, options.revision);
  const include = options.only === 'config' ? configFiles : options.include;
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
    const missing = await missingFiles(found, include.length > 0);
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
  const cache = hubCacheFolder(environment);
  // Said before anything is fetched: a user of a container often has no home.
  const reason = whyNotWritable(cache);
  if (reason !== undefined) {
    throw new ReasongenError({
      code: 'HUB_CACHE_NOT_WRITABLE',
      message: `the cache for models cannot be written: ${reason}`,
      place: cache,
      hint: 'set HF_HOME to a folder that may be written: HF_HOME=/tmp/huggingface',
      exitCode: exitCodes.disk,
    });
  }
  const folder = await pullModel(model, {
    url,
    ...tokenFor(url, own, environment),
    environment,
    cache,
    include,
    patience: patienceOf(environment['HF_HUB_DOWNLOAD_TIMEOUT']),
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

/** Seconds, as the Hub's own client takes them. */
function patienceOf(text: string | undefined): number | undefined {
  if (text === undefined || text.trim() === '') return undefined;
  const seconds = Number(text);
  // Longer ones are more than a timer can wait.
  if (seconds > 0 && seconds <= 86_400) return seconds;
  throw new ReasongenError({
    code: 'BAD_TIMEOUT',
    message: `HF_HUB_DOWNLOAD_TIMEOUT=${text} is no number of seconds between 0 and 86400`,
    hint: 'set it to the seconds that a hub may be silent, or not at all for 60',
    exitCode: exitCodes.badPreset,
  });
}

function isOn(value: string | undefined): boolean {
  return value !== undefined && !['', '0', 'false', 'no', 'off'].includes(value.toLowerCase());
}
