/** The weights of a model under the names of its parameters: published ones renamed, low-rank adapters added to what they belong to. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { type Environment, processEnvironment } from '../../environment.ts';
import type { WeightSource } from '../../contracts/weight-source.ts';
import { exitCodes, ReasongenError } from '../../errors.ts';
import type { NameRule } from '../../tensor/name-rules.ts';
import { findSnapshot, parseHubModel } from '../hub/cache.ts';
import { contentHash } from './identity.ts';
import { mergedSource, openAdapter, type StoredAdapter } from './low-rank.ts';
import { badWeights } from './errors.ts';
import { findWeights, openFile } from './open.ts';
import { renamed } from './renamed.ts';

export interface ModelSource {
  readonly source: WeightSource;
  /** Of the content of all files it comes from; empty where they are not to be read whole. */
  readonly hash: string;
  /** What the user must be told about how the weights were found. */
  readonly warnings: readonly string[];
}

/**
 * `path`: whatever `openWeightSource` takes, or adapters, whose base is opened as well. `names`: the table of a published class of models.
 * `identify`: false reads headers only, and neither verifies checkpoints nor says what the content is called.
 */
export function openModelSource(
  path: string,
  names: readonly NameRule[] = [],
  environment: Environment = processEnvironment,
  { identify = true } = {},
): Promise<ModelSource> {
  return openAbove(path, { names, environment, identify }, []);
}

/** How what is opened is read. */
interface Reading {
  readonly names: readonly NameRule[];
  /** Says where the cache of the hub lies. */
  readonly environment: Environment;
  /** Whether the content is read as a whole, to verify it and to know what it is called. */
  readonly identify: boolean;
}

/** `above`: folders of adapters that belong to what is opened. */
async function openAbove(path: string, reading: Reading, above: readonly string[]): Promise<ModelSource> {
  const { identify } = reading;
  const place = await findWeights(path, { verify: identify });
  const { warnings = [] } = place;
  if (!place.isAdapter) {
    const hash = identify ? (place.hash ?? (await contentHash(place.path))) : '';
    const source = await openFile(place.path);
    return closedOnError(source, () => ({ source: renamed(source, reading.names, 'port'), hash, warnings }));
  }
  const folder = await realpath(place.path);
  if (above.includes(folder))
    throw badWeights(
      place.path,
      'these adapters name themselves as the weights they belong to (base_model_name_or_path)',
      'name the weights they were trained on in adapter_config.json',
    );
  const adapter = await openAdapter(place.path);
  if (adapter === undefined)
    throw badWeights(
      place.path,
      'there are neither weights nor adapters here',
      'point to a run, a checkpoint, or a file of weights',
    );
  const model = await closedOnError(adapter.source, () => withBase(place.path, adapter, reading, [...above, folder]));
  return { ...model, warnings: [...warnings, ...model.warnings] };
}

async function withBase(
  path: string,
  adapter: StoredAdapter,
  reading: Reading,
  above: readonly string[],
): Promise<ModelSource> {
  const base = await openAbove(locateBase(adapter, reading.environment), reading, above);
  return closedOnError(base.source, async () => {
    const { baseHash } = adapter.config;
    if (reading.identify && baseHash !== undefined && baseHash !== base.hash)
      throw new ReasongenError({
        code: 'OTHER_BASE',
        message: `the adapters were trained on other weights (${baseHash.slice(0, 12)}…) than ${adapter.config.base} holds now (${base.hash.slice(0, 12)}…)`,
        place: path,
        hint: 'put the former weights back',
        exitCode: exitCodes.badPreset,
      });
    const source = mergedSource(base.source, adapter, reading.names);
    if (!reading.identify) return { ...base, source };
    const own = await contentHash(adapter.file);
    return {
      source,
      hash: createHash('sha256').update(`${base.hash} ${own} ${adapter.config.scales}`).digest('hex'),
      warnings: base.warnings,
    };
  });
}

async function closedOnError<Result>(source: WeightSource, work: () => Result | Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** PEFT names a path, or a model on a hub. */
function locateBase({ config: { base, revision, place } }: StoredAdapter, environment: Environment): string {
  if (existsSync(base) || !/^[^/\s]+\/[^/\s]+$/.test(base)) return base;
  const model = parseHubModel(base, revision);
  const found = findSnapshot(model, environment);
  if (found !== undefined) return found;
  throw new ReasongenError({
    code: 'NOT_PULLED',
    message: `the adapters belong to ${base}${revision === undefined ? '' : ` at ${revision}`}, which is neither a folder here nor in the cache of models`,
    place,
    hint: `run \`npx reasongen pull ${base}${revision === undefined ? '' : ` --revision ${revision}`}\` first`,
    exitCode: exitCodes.badPreset,
  });
}
