/** Weights into a model, refused when they were trained with another tokenizer or codec: the ids would mean other things. */
import { existsSync } from 'node:fs';
import { ParameterSet, type ParameterOptions, type WeightStorage } from '../weights/parameters.ts';
import type { Backbone, ParameterSpec } from '../contracts/backbone.ts';
import type { RunContext } from '../contracts/recipe.ts';
import type { WeightSource } from '../contracts/weight-source.ts';
import { ReasongenError, exitCodes } from '../errors.ts';
import { type ModelSource, openModelSource } from '../io/weight-files/model.ts';
import { lacksWeights } from '../io/weight-files/open.ts';
import { filtered, layered } from '../io/weight-files/pieces.ts';
import { holdSame } from '../io/weight-files/same.ts';
import { inputFile } from '../preset/input-file.ts';
import { z } from '../preset/zod.ts';

const storages = ['f32', 'f16', 'bf16', 'int8', 'int4'] as const satisfies readonly WeightStorage[];

/** For recipes that only read weights. */
export const storageOption = {
  storage: z
    .enum(storages)
    .default('f32')
    .describe(
      'how matrices are kept on the device: f32, or f16, bf16, int8, int4 to save memory at a loss of precision; they are widened before they are multiplied',
    ),
};

/** Storages that take fewer bits, the widest first. */
export function narrowerStorages(storage: WeightStorage): readonly WeightStorage[] {
  const all = ['bf16', 'int8', 'int4'] as const;
  return { f32: all, f16: all.slice(1), bf16: all.slice(1), int8: all.slice(2), int4: [] }[storage];
}

/** Instead of a path: seeded random weights made on the device, to measure memory and speed of a model without its files. */
export const randomWeights = 'random';

/** A path to weights, or `random`. */
export function weightsInput() {
  return inputFile([randomWeights]);
}

/** What a run begins with: a path, `random`, or fresh weights where nothing is named. */
export interface BaseOptions extends Omit<ParameterOptions, 'seed' | 'initialize'> {
  readonly weights?: string | undefined;
}

/** What is needed to open weights; what is opened for a run is noted in its directory. */
export type WeightsContext = Pick<
  RunContext,
  'device' | 'seed' | 'log' | 'resume' | 'has' | 'backbone' | 'tokenizer' | 'imageTokenizer'
> & { readonly directory?: Pick<RunContext['directory'], 'describe' | 'warn'> };

/** Room for the model a run begins with; it has its values where no file is named, and gets them by `loadBase` where one is. Reads no file. */
export function makeBase(
  { device, seed }: Pick<RunContext, 'device' | 'seed'>,
  specs: readonly ParameterSpec[],
  { weights, ...options }: BaseOptions,
): Promise<ParameterSet> {
  const initialize = weights === randomWeights ? 'device' : weights === undefined ? 'host' : 'none';
  return ParameterSet.open(device, specs, { ...options, seed, initialize });
}

/** Fills what `makeBase` made, and notes in the record of the run what it was. Returns the weights' hash; empty for fresh ones. */
export async function loadBase(
  context: WeightsContext,
  parameters: ParameterSet,
  weights: string | undefined,
): Promise<string> {
  if (context.device.isPlanning) await checkBase(context, parameters, weights);
  if (context.device.isPlanning || weights === undefined) return '';
  if (weights !== randomWeights) return openWeights(context, parameters, weights);
  const hash = `${randomWeights}:${context.seed}`;
  await context.directory?.describe({ hashes: { weights: hash } });
  return hash;
}

/**
 * For a plan: throws what loading would say of the names and shapes of weights, from their headers. What an earlier stage has yet to make,
 * and what a resumed run has in its checkpoint, is not looked at.
 */
export async function checkBase(
  context: WeightsContext,
  parameters: ParameterSet,
  weights: string | undefined,
): Promise<void> {
  if (weights === undefined || weights === randomWeights || context.resume || !existsSync(weights)) return;
  if (await lacksWeights(weights))
    return context.log.warn(`${weights} has a configuration and no weights: enough for a plan, not for a run`);
  const { source } = await openNamed(context, parameters, weights, { identify: false });
  try {
    parameters.refuseOtherShapes(source);
  } finally {
    await source.close();
  }
}

/** The model a run begins with, frozen: made and filled. */
export async function openBase(
  context: WeightsContext,
  specs: readonly ParameterSpec[],
  options: BaseOptions,
): Promise<{ readonly parameters: ParameterSet; readonly hash: string }> {
  const parameters = await makeBase(context, specs, options);
  try {
    return { parameters, hash: await loadBase(context, parameters, options.weights) };
  } catch (error) {
    parameters.close();
    throw error;
  }
}

/** Loads a checkpoint, a run's newest, a published model or a bare file of weights, and notes its hash in the record of the run. Returns the hash. */
export async function openWeights(context: WeightsContext, parameters: ParameterSet, from: string): Promise<string> {
  if (context.device.isPlanning) return '';
  const { source, hash, warnings } = await openNamed(context, parameters, from);
  try {
    for (const warning of warnings) {
      context.log.warn(warning);
      await context.directory?.warn(warning);
    }
    await load(context, parameters, source);
  } finally {
    await source.close();
  }
  await context.directory?.describe({ hashes: { weights: hash } });
  return hash;
}

/** Weights under the names of a set, and nothing else; refused when they were trained with another vocabulary. */
async function openNamed(
  context: WeightsContext,
  { names }: ParameterSet,
  from: string,
  options: Parameters<typeof openModelSource>[3] = {},
): Promise<ModelSource> {
  const backbone = context.has('backbone') ? context.backbone : undefined;
  const { source: own, ...model } = await openModelSource(from, backbone?.published?.format.names, undefined, options);
  const source = backbone === undefined ? own : await withTower(own, names, backbone);
  try {
    refuseOtherVocabulary(context, source);
    if (options.identify !== false) await refuseOtherCopies(source, names, backbone);
  } catch (error) {
    await source.close();
    throw error;
  }
  return { ...model, source: backbone === undefined ? source : withoutOtherParts(source, names, backbone) };
}

/** A run trains no tower: where one is wanted and the weights have none, it is that of the published model the backbone was made from. */
async function withTower(
  source: WeightSource,
  wanted: readonly string[],
  { vision, published }: Backbone,
): Promise<WeightSource> {
  const tower = new Set(vision?.parameters.map(({ name }) => name));
  const isMissing = wanted.some((name) => tower.has(name) && !source.entries.has(name));
  if (published?.folder === undefined || !isMissing) return source;
  try {
    const base = await openModelSource(published.folder, published.format.names);
    return layered(
      source,
      filtered(base.source, (name) => tower.has(name)),
    );
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** What repeats another tensor is not read: the two must be one, or the model would not be that of the file. */
async function refuseOtherCopies(
  source: WeightSource,
  wanted: readonly string[],
  backbone: Backbone | undefined,
): Promise<void> {
  for (const [copy, original] of Object.entries(backbone?.published?.format.copies ?? {})) {
    if (!source.entries.has(copy) || wanted.includes(copy) || (await holdSame(source, copy, original))) continue;
    throw new ReasongenError({
      code: 'OTHER_COPY',
      message: `the configuration of the model says that ${copy} is ${original}, and they differ`,
      place: source.origin,
      hint: 'if they were trained apart, write tie_word_embeddings: false into config.json',
      exitCode: exitCodes.badPreset,
    });
  }
}

/** Parts of a published model that this run does without are not read, and not missed. */
function withoutOtherParts(
  source: WeightSource,
  names: readonly string[],
  { published, parameters }: Backbone,
): WeightSource {
  const wanted = new Set(names);
  const known = new Set(parameters.map(({ name }) => name));
  const { otherParts = [], copies = {} } = published?.format ?? {};
  return filtered(
    source,
    (name) =>
      wanted.has(name) ||
      !(known.has(name) || Object.hasOwn(copies, name) || otherParts.some((prefix) => name.startsWith(prefix))),
  );
}

/** Bytes from which on loading is worth a progress bar and a line. */
const longLoad = 50e6;

async function load(context: WeightsContext, parameters: ParameterSet, source: WeightSource): Promise<void> {
  const { log } = context;
  const started = performance.now();
  let shown: ReturnType<typeof log.progress> | undefined;
  let before = 0;
  const progress = (done: number, total: number): void => {
    if (total < longLoad) return;
    shown ??= log.progress('weights', Math.ceil(total / 1e6), { unit: 'megabyte' });
    const now = Math.ceil(done / 1e6);
    shown.advance(now - before);
    before = now;
  };
  try {
    const { bytes, tensors } = await parameters.loadFrom(source, { progress, warn: (message) => log.warn(message) });
    shown?.end();
    const seconds = (performance.now() - started) / 1000;
    if (bytes >= longLoad)
      log.info(
        `${tensors} weights, ${(bytes / 1e9).toFixed(2)} GB, in ${seconds.toFixed(1)} s (${(bytes / 1e6 / seconds).toFixed(0)} MB/s)`,
      );
  } finally {
    shown?.end();
  }
}

function refuseOtherVocabulary(context: WeightsContext, { metadata, origin }: WeightSource): void {
  for (const [what, expected] of Object.entries(trainedWith(context))) {
    const found = metadata[what];
    if (found === undefined || found === expected) continue;
    throw new ReasongenError({
      code: 'OTHER_VOCABULARY',
      message: `these weights were trained with another ${what} (${found.slice(0, 12)}…) than the preset names (${expected.slice(0, 12)}…)`,
      place: origin,
      hint: `name the ${what} of the run that made the weights`,
      exitCode: exitCodes.badPreset,
    });
  }
}

/** Hashes of what gives token ids their meaning; stored with every checkpoint. */
export function trainedWith(context: WeightsContext): Record<string, string> {
  return {
    ...(context.has('tokenizer') && { tokenizer: context.tokenizer.hash }),
    ...(context.has('imageTokenizer') && { imageTokenizer: context.imageTokenizer.hash }),
  };
}
