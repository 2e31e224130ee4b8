/** The weights of a model under the names of its parameters: published ones renamed, low-rank adapters added to what they belong to. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
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
  /** Of the content of all files it comes from. */
  readonly hash: string;
}

/** `path`: whatever `openWeightSource` takes, or adapters, whose base is opened as well. `names`: the table of a published class of models. */
export async function openModelSource(path: string, names: readonly NameRule[] = []): Promise<ModelSource> {
  const place = await findWeights(path);
  if (!place.isAdapter) {
    const hash = place.hash ?? (await contentHash(place.path));
    const source = await openFile(place.path);
    try {
      return { source: renamed(source, names, 'port'), hash };
    } catch (error) {
      await source.close();
      throw error;
    }
  }
  const adapter = await openAdapter(place.path);
  if (adapter === undefined)
    throw badWeights(
      place.path,
      'there are neither weights nor adapters here',
      'point to a run, a checkpoint, or a file of weights',
    );
  return withBase(place.path, adapter, names);
}

async function withBase(path: string, adapter: StoredAdapter, names: readonly NameRule[]): Promise<ModelSource> {
  try {
    const base = await openModelSource(locateBase(adapter.config.base), names);
    const { baseHash } = adapter.config;
    if (baseHash !== undefined && baseHash !== base.hash) {
      await base.source.close();
      throw new ReasongenError({
        code: 'OTHER_BASE',
        message: `the adapters were trained on other weights (${baseHash.slice(0, 12)}…) than ${adapter.config.base} holds now (${base.hash.slice(0, 12)}…)`,
        place: path,
        hint: 'put the former weights back',
        exitCode: exitCodes.badPreset,
      });
    }
    const own = await contentHash(join(path, 'adapter_model.safetensors'));
    return {
      source: mergedSource(base.source, adapter),
      hash: createHash('sha256').update(`${base.hash} ${own}`).digest('hex'),
    };
  } catch (error) {
    await adapter.source.close();
    throw error;
  }
}

/** PEFT names a path, or a model on a hub. */
function locateBase(base: string): string {
  if (existsSync(base) || !/^[^/\s]+\/[^/\s]+$/.test(base)) return base;
  return findSnapshot(parseHubModel(base), process.env) ?? base;
}
