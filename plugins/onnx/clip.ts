/** How well texts fit a picture, or an object in it, by a CLIP exported to ONNX as two towers. */
import { join } from 'node:path';
import { readTokenizerFile } from '../../core/compute.ts';
import { z, type Image } from '../../core/plugin.ts';
import { checkedOnce, knownPicturesOption, readKnownPictures, unknown } from './known-pictures.ts';
import {
  badModel,
  findModelFile,
  modelHash,
  modelNameOf,
  readConfig,
  requireInterface,
  requireSize,
} from './model-folder.ts';
import { cutOut } from './object.ts';
import { modelOption, threadsOption, type JudgeThat } from './options.ts';
import { pixelsOf, preprocessorSchema, type Preprocessor } from './pixels.ts';
import type { OnnxRuntime } from './runtime.ts';
import type { OnnxInterface, OnnxTensor } from './worker.mjs';

export const clipOptions = z.strictObject({
  model: modelOption('a CLIP exported to ONNX'),
  textFile: z.string().min(1).optional().describe('file of the text tower; onnx/text_model.onnx unless told'),
  pictureFile: z.string().min(1).optional().describe('file of the picture tower; onnx/vision_model.onnx unless told'),
  title: z
    .string()
    .min(1)
    .optional()
    .describe('what results call the judge; CLIP with the size of its tower, such as CLIP L/14, unless told'),
  background: z
    .enum(['gray', 'original'])
    .default('gray')
    .describe(
      'what stands around an object that is classified by its mask: flat #999999, as GenEval does it, or the picture',
    ),
  threads: threadsOption,
  knownPictures: knownPicturesOption,
});

type ClipOptions = z.output<typeof clipOptions>;

const configSchema = z.looseObject({
  model_type: z.literal('clip', 'only "clip" is read here').or(z.literal('clip_text_model')),
  vision_config: z.looseObject({ hidden_size: z.number().optional(), patch_size: z.number().optional() }).optional(),
  text_config: z.looseObject({ max_position_embeddings: z.number().int().min(2).default(77) }).optional(),
});

const startToken = '<|startoftext|>';
const endToken = '<|endoftext|>';
/** Embeddings of texts that are kept: a benchmark asks about the same ones again and again. */
const mostTexts = 4096;

export async function openClip(
  options: ClipOptions,
  runtime: OnnxRuntime,
): Promise<JudgeThat<'similarity' | 'classify'>> {
  const known =
    options.knownPictures === undefined ? [] : await readKnownPictures(options.knownPictures, expectedSchema);
  const model = await readClip(options);
  const towers = new Towers(model, runtime);
  const ready = checkedOnce((signal) => checkKnown(known, towers, signal));
  return {
    title: options.title ?? model.title,
    fingerprint: {
      ...model.fingerprint,
      background: options.background,
      threads: String(runtime.threads),
      'onnxruntime-node': runtime.version,
    },
    similarity: async (image, texts, signal) => {
      await ready(signal);
      return towers.similarity(image, texts, signal);
    },
    classify: async (image, object, labels, templates, signal) => {
      await ready(signal);
      return towers.classify(cutOut(image, object, options.background), labels, templates, signal);
    },
  };
}

/** What of a folder is used. */
interface ClipModel {
  readonly textFile: string;
  readonly pictureFile: string;
  readonly preprocessor: Preprocessor;
  readonly title: string;
  readonly fingerprint: Readonly<Record<string, string>>;
  /** Ids between those of start and end; what the tower does not take is cut off. */
  encode(text: string): number[];
}

/** What of the folder of a CLIP is used. Throws BAD_ONNX_MODEL for another folder. */
export async function readClip({ model: folder, ...files }: ClipOptions): Promise<ClipModel> {
  const textFile = findModelFile(folder, 'text_model', files.textFile);
  const pictureFile = findModelFile(folder, 'vision_model', files.pictureFile);
  const config = await readConfig(folder, 'config.json', configSchema);
  const preprocessor = await readConfig(folder, 'preprocessor_config.json', preprocessorSchema);
  const tokenizer = readTokenizerFile(join(folder, 'tokenizer.json'), [startToken, endToken]);
  const longest = config.text_config?.max_position_embeddings ?? 77;
  const [start, end] = [tokenizer.idOf(startToken), tokenizer.idOf(endToken)];
  return {
    textFile,
    pictureFile,
    preprocessor,
    title: titleOf(config.vision_config),
    encode: (text) => [start, ...tokenizer.encode(text).slice(0, longest - 2), end],
    fingerprint: {
      model: modelNameOf(config),
      textSha256: await modelHash(textFile),
      pictureSha256: await modelHash(pictureFile),
      tokenizerSha256: tokenizer.hash,
      preprocessor: JSON.stringify(preprocessor),
    },
  };
}

const sizes: ReadonlyMap<number | undefined, string> = new Map([
  [768, 'B'],
  [1024, 'L'],
  [1280, 'H'],
]);

/** `CLIP B/32`, by width and patch of the picture tower. */
function titleOf(tower: z.output<typeof configSchema>['vision_config']): string {
  const size = sizes.get(tower?.hidden_size);
  return size === undefined || tower?.patch_size === undefined ? 'CLIP' : `CLIP ${size}/${tower.patch_size}`;
}

class Towers {
  private readonly model: ClipModel;
  private readonly runtime: OnnxRuntime;
  /** Normalized embeddings by text. */
  private readonly texts = new Map<string, Float64Array>();

  constructor(model: ClipModel, runtime: OnnxRuntime) {
    this.model = model;
    this.runtime = runtime;
  }

  async similarity(image: Image, texts: readonly string[], signal: AbortSignal): Promise<number[]> {
    const picture = await this.pictureEmbedding(image, signal);
    const cosines: number[] = [];
    for (const text of texts) cosines.push(dot(picture, await this.textEmbedding(text, signal)));
    return cosines;
  }

  /** One cosine a label: with the mean of its embedded templates. */
  async classify(
    object: Image,
    labels: readonly string[],
    templates: readonly string[],
    signal: AbortSignal,
  ): Promise<number[]> {
    const picture = await this.pictureEmbedding(object, signal);
    const cosines: number[] = [];
    for (const label of labels) {
      const each: Float64Array[] = [];
      for (const template of templates)
        each.push(
          await this.textEmbedding(
            template.replaceAll('{}', () => label),
            signal,
          ),
        );
      const mean = each[0]?.map((_, axis) => each.reduce((sum, vector) => sum + (vector[axis] ?? 0), 0) / each.length);
      cosines.push(dot(picture, normalized(mean ?? new Float64Array())));
    }
    return cosines;
  }

  /** One text at a time: what else is asked must not change a bit of it. */
  private async textEmbedding(text: string, signal: AbortSignal): Promise<Float64Array> {
    const kept = this.texts.get(text);
    if (kept !== undefined) return kept;
    const ids = this.model.encode(text);
    const dims = [1, ids.length];
    const feeds = {
      input_ids: { data: BigInt64Array.from(ids, BigInt), dims },
      attention_mask: { data: new BigInt64Array(ids.length).fill(1n), dims },
    };
    const embedding = await this.embedding(
      { file: this.model.textFile, input: 'input_ids', output: 'text_embeds', what: 'text' },
      (found) =>
        Object.fromEntries(Object.entries(feeds).filter(([name]) => found.inputs.some((input) => input.name === name))),
      signal,
    );
    const [oldest] = this.texts.keys();
    if (this.texts.size >= mostTexts && oldest !== undefined) this.texts.delete(oldest);
    this.texts.set(text, embedding);
    return embedding;
  }

  private pictureEmbedding(image: Image, signal: AbortSignal): Promise<Float64Array> {
    const { pictureFile: file, preprocessor } = this.model;
    return this.embedding(
      { file, input: 'pixel_values', output: 'image_embeds', what: 'picture' },
      (found) => {
        const pixels = pixelsOf(image, preprocessor);
        requireSize(file, found, pixels);
        return { pixel_values: pixels };
      },
      signal,
    );
  }

  /** What a tower makes of its inputs, of length 1. */
  private async embedding(
    { file, input, output, what }: Tower,
    feedsOf: (found: OnnxInterface) => Record<string, OnnxTensor>,
    signal: AbortSignal,
  ): Promise<Float64Array> {
    const { runtime } = this;
    const found = await runtime.open(file, signal);
    requireInterface(file, found, { inputs: [input], outputs: [output] }, `${what} tower of CLIP with projection`);
    const given = await runtime.run(file, feedsOf(found), [output], signal);
    return normalized(Float64Array.from((given[output]?.data ?? []) as Float32Array));
  }
}

interface Tower {
  readonly file: string;
  readonly input: string;
  readonly output: string;
  readonly what: string;
}

function dot(a: Float64Array, b: Float64Array): number {
  if (a.length !== b.length)
    throw badModel(
      `${a.length} and ${b.length} numbers`,
      'the towers of this CLIP embed into spaces of other sizes',
      'use two towers of one model',
    );
  return a.reduce((sum, value, axis) => sum + value * (b[axis] ?? 0), 0);
}

function normalized(vector: Float64Array): Float64Array {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  return vector.map((value) => value / length);
}

const expectedSchema = z.strictObject({ similarities: z.record(z.string(), z.number()) });

/** Of a cosine. A resize without antialias is off by as much. */
const tolerance = 0.005;

async function checkKnown(
  known: Awaited<ReturnType<typeof readKnownPictures<typeof expectedSchema>>>,
  towers: Towers,
  signal: AbortSignal,
): Promise<void> {
  for (const { image, expected, place } of known) {
    const texts = Object.keys(expected.similarities);
    const found = await towers.similarity(image, texts, signal);
    for (const [index, text] of texts.entries()) {
      const [right, cosine] = [expected.similarities[text] ?? 0, found[index] ?? Number.NaN];
      if (Math.abs(cosine - right) <= tolerance) continue;
      throw unknown(
        place,
        `the cosine of the picture and "${text}" is ${cosine.toFixed(4)}, and is known to be ${right}`,
      );
    }
  }
}
