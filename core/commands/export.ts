/**
 * `export FROM`: a run, a checkpoint or a published model as a folder that other programs load. Parts that were not trained (the
 * vision tower, the codec) come from the published model the training began with.
 */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { createContainer } from '../container.ts';
import type { PublishedLayout, PublishedFormat, PublishedType } from '../contracts/published.ts';
import type { WeightSource } from '../contracts/weight-source.ts';
import type { Environment } from '../environment.ts';
import { exitCodes, ReasongenError } from '../errors.ts';
import { trainedRun } from '../io/chain.ts';
import { pulledFolder } from '../io/hub/cache.ts';
import { addedTokens, writeModelFolder } from '../io/published-model.ts';
import { castSource, type ExportType } from '../io/weight-files/cast.ts';
import { bytesOf } from '../io/weight-files/element-types.ts';
import { openModelSource } from '../io/weight-files/model.ts';
import { openWeightSource } from '../io/weight-files/open.ts';
import { filtered, layered } from '../io/weight-files/pieces.ts';
import { renamed } from '../io/weight-files/renamed.ts';
import type { Log } from '../log.ts';
import { loadCatalogOf, loadPreset } from '../preset/load.ts';
import type { CommandContext } from './context.ts';

export interface ExportOptions {
  readonly out: string;
  /** That of the base unless given. */
  readonly layout?: PublishedLayout;
  /** As in the base unless given. */
  readonly dtype?: PublishedType;
  /** Bytes. */
  readonly maxShardSize: number;
  /** The published model, when the run does not name it. */
  readonly base?: string;
  readonly plugin: readonly string[];
}

const storedTypes: Readonly<Record<PublishedType, ExportType>> = { f32: 'F32', f16: 'F16', bf16: 'BF16' };

/** `given` and the base are paths, or names of pulled models. Prints the folder that was written. */
export async function exportModel(
  given: string,
  options: ExportOptions,
  { log, write, environment }: CommandContext,
): Promise<number> {
  const from = folderOf(given, environment);
  const base = resolve(
    options.base === undefined ? await findBase(from, log, environment) : folderOf(options.base, environment),
  );
  const config = await readConfig(base);
  const { format, layout: baseLayout } = await recognize(config, base, options.plugin);
  const layout = options.layout ?? baseLayout;
  const sources = await openSources(from, base, format, log, environment);
  try {
    const weights = arrange(sources, format, { layout, baseLayout, dtype: options.dtype });
    const configs = format.configFiles(config, {
      layout,
      type: options.dtype,
      tokenId: await addedTokens(base),
      place: join(base, 'config.json'),
    });
    const total = [...weights.entries.values()].reduce((sum, entry) => sum + bytesOf(entry), 0);
    const bar = log.progress('export', Math.ceil(total / 1e6), { unit: 'megabyte' });
    let done = 0;
    try {
      await writeModelFolder(resolve(options.out), {
        weights,
        configs,
        copies: await filesToCopy(base, layout === baseLayout, Object.keys(configs), log),
        largestShard: options.maxShardSize,
        progress: (bytes) => {
          const before = Math.ceil(done / 1e6);
          done += bytes;
          bar.advance(Math.ceil(done / 1e6) - before);
        },
      });
    } finally {
      bar.end();
    }
  } finally {
    for (const source of Object.values(sources)) await source.close();
  }
  write(`${resolve(options.out)}\n`);
  return exitCodes.done;
}

/** `hub:OWNER/NAME` stands for the folder of a pulled model. */
function folderOf(path: string, environment: Environment): string {
  return path.startsWith('hub:') ? pulledFolder(path.slice('hub:'.length), environment) : path;
}

interface Sources {
  /** Under port names. */
  readonly trained: WeightSource;
  readonly base: WeightSource;
  /** The base as its files have it. */
  readonly baseFiles: WeightSource;
}

async function openSources(
  from: string,
  base: string,
  format: PublishedFormat,
  log: Log,
  environment: Environment,
): Promise<Sources> {
  const baseFiles = await openWeightSource(base);
  const port = renamed(baseFiles, format.names, 'port');
  if (resolve(from) === base) return { trained: port, base: port, baseFiles };
  let trained: WeightSource | undefined;
  try {
    const model = await openModelSource(from, format.names, environment);
    trained = model.source;
    for (const warning of model.warnings) log.warn(warning);
    refuseMisfits(trained, port);
    return { trained, base: port, baseFiles };
  } catch (error) {
    await trained?.close();
    await baseFiles.close();
    throw error;
  }
}

/** What was trained must be parts of the base. */
function refuseMisfits(trained: WeightSource, base: WeightSource): void {
  const problems = [...trained.entries].flatMap(([name, { shape }]) => {
    const own = base.entries.get(name);
    if (own === undefined) return [`${name} is not in the base`];
    return own.shape.join() === shape.join() ? [] : [`${name} is [${shape}], in the base [${own.shape}]`];
  });
  if (problems.length === 0) return;
  throw new ReasongenError({
    code: 'OTHER_BASE',
    message: `${trained.origin} does not belong to the model in ${base.origin}:\n  ${problems.slice(0, 20).join('\n  ')}`,
    hint: 'name with --base the published model that the training began with',
    exitCode: exitCodes.badPreset,
  });
}

/** Trained weights over those of the base, in the types of the base or the one asked for, under the names of the layout. */
function arrange(
  { trained, base, baseFiles }: Sources,
  format: PublishedFormat,
  {
    layout,
    baseLayout,
    dtype,
  }: {
    readonly layout: PublishedLayout;
    readonly baseLayout: PublishedLayout;
    readonly dtype: PublishedType | undefined;
  },
): WeightSource {
  const asked = dtype === undefined ? undefined : storedTypes[dtype];
  const typeOf = (name: string): ExportType | undefined => asked ?? floatType(base.entries.get(name)?.type);
  const merged = castSource(layered(trained, base), typeOf);
  if (layout === 'huggingface') return merged;
  const original = renamed(merged, format.names, 'original');
  // What the port drops is still part of the original files.
  return baseLayout === 'original'
    ? layered(
        original,
        castSource(
          filtered(baseFiles, (name) => !original.entries.has(name)),
          () => asked,
        ),
      )
    : original;
}

function floatType(type: string | undefined): ExportType | undefined {
  return type === 'F32' || type === 'F16' || type === 'BF16' ? type : undefined;
}

/** The published model that a run began with: the one its backbone was made from. A folder with a config.json is its own base. */
async function findBase(from: string, log: Log, environment: Environment): Promise<string> {
  if (existsSync(join(from, 'config.json'))) return from;
  const preset = [(await trainedRun(from)) ?? from, dirname(dirname(resolve(from)))]
    .map((folder) => join(folder, 'preset.yaml'))
    .find((file) => existsSync(file));
  const missing = (message: string): ReasongenError =>
    new ReasongenError({
      code: 'NO_BASE',
      message,
      place: from,
      hint: 'name with --base the folder of the published model that the training began with',
      exitCode: exitCodes.badPreset,
    });
  if (preset === undefined) throw missing('this is no run, no checkpoint of a run, and no folder with a config.json');
  const loaded = await loadPreset(preset, { environment });
  const [stage, ...more] = loaded.stages;
  if (stage === undefined || more.length > 0)
    throw missing('this is a chain of runs, and no stage of it has saved weights yet');
  const container = createContainer(loaded.catalog.plugins).openRun({
    preset: stage.preset,
    log,
    openDevice: () => Promise.reject(new Error('an export opens no device')),
  });
  try {
    const { published } = await container.get('backbone');
    if (published?.folder === undefined)
      throw missing(
        'the backbone of this run was not made from a published model, so there is nothing that other programs would load',
      );
    return published.folder;
  } finally {
    await container.dispose();
  }
}

async function recognize(
  config: unknown,
  base: string,
  plugins: readonly string[],
): Promise<{ readonly format: PublishedFormat; readonly layout: PublishedLayout }> {
  const catalog = await loadCatalogOf(plugins);
  for (const format of catalog.plugins.flatMap(({ formats = [] }) => formats)) {
    const layout = format.layoutOf(config);
    if (layout !== undefined) return { format, layout };
  }
  throw new ReasongenError({
    code: 'UNKNOWN_MODEL',
    message: 'no plugin knows models of this class',
    place: join(base, 'config.json'),
    hint: 'name the plugin that does with --plugin',
    exitCode: exitCodes.badPreset,
  });
}

async function readConfig(base: string): Promise<unknown> {
  const file = join(base, 'config.json');
  try {
    return JSON.parse(await readFile(file, 'utf8')) as unknown;
  } catch (cause) {
    throw new ReasongenError({
      code: 'BAD_CONFIG',
      message: 'this is not the folder of a published model: its config.json cannot be read',
      place: file,
      hint: 'check the path, or --base',
      exitCode: exitCodes.badPreset,
      cause,
    });
  }
}

/** Tokenizer and the like. What another layout's classes would not understand stays behind. */
async function filesToCopy(
  base: string,
  sameLayout: boolean,
  made: readonly string[],
  log: Log,
): Promise<Map<string, string>> {
  const isTokenizer =
    /^(tokenizer.*\.(json|model)|special_tokens_map\.json|added_tokens\.json|vocab\.(json|txt)|merges\.txt|chat_template\.(json|jinja))$/;
  const isOther = /^(generation_config|(video_)?preprocessor_config|processor_config)\.json$/;
  const names = (await readdir(base)).filter((name) => !made.includes(name));
  const left = sameLayout ? [] : names.filter((name) => isOther.test(name));
  if (left.length > 0) log.info(`not copied, since they belong to the other layout: ${left.join(', ')}`);
  return new Map(
    names
      .filter((name) => isTokenizer.test(name) || (sameLayout && isOther.test(name)))
      .map((name) => [name, join(base, name)]),
  );
}
