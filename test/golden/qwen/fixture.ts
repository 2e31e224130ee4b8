/** A golden fixture of Qwen2.5-VL or Qwen3-VL: a reduced model with random weights and what transformers computes for it. Every size is read from its files. */
import { readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import type { Backbone, ParameterSpec, PictureArray, PictureSpan } from '../../../core/contracts/backbone.ts';
import type { Image } from '../../../core/contracts/image.ts';
import type { Device } from '../../../core/gpu/device.ts';
import { decodePicture } from '../../../core/io/image.ts';
import { readFloatTensors } from '../../../core/io/weight-files/floats.ts';
import { openWeightSource } from '../../../core/io/weight-files/open.ts';
import { renamed } from '../../../core/io/weight-files/renamed.ts';
import type { DecoderShape } from '../../../core/nn/decoder.ts';
import { ParameterSet, type WeightStorage } from '../../../core/weights/parameters.ts';
import { qwenBackbone, qwenDecoder } from '../../../plugins/qwen-vl/backbone.ts';
import { readQwenConfig, type LookingConfig } from '../../../plugins/qwen-vl/config.ts';
import { readPictureRules, type PictureRules } from '../../../plugins/qwen-vl/pictures.ts';
import { formats } from '../../../plugins/qwen-vl/published.ts';
import { readSafetensors, type StoredTensor } from '../../support/safetensors.ts';
import { MissingValue } from '../fixture.ts';

export interface QwenGolden {
  readonly special: Readonly<Record<string, number>>;
  readonly pictures: readonly {
    readonly file: string;
    readonly resized: string;
    readonly size: readonly [number, number];
    readonly resized_size: readonly [number, number];
    readonly tokens: number;
  }[];
  readonly smart_resize: {
    readonly rows: readonly (readonly [number, number, number, number, number, readonly [number, number] | null])[];
  };
  readonly prompts: Readonly<Record<Prompt, { readonly pictures: readonly number[]; readonly next_position: number }>>;
  readonly generate: { readonly repetition_penalty: number; readonly max_new_tokens: number };
  readonly answers: {
    readonly pictures: readonly number[];
    readonly answers: readonly { readonly sum: number; readonly mean: number }[];
    readonly yes_id: number;
    readonly no_id: number;
    readonly p_yes: number;
    readonly p_no: number;
    readonly p_yes_among_both: number;
  };
  readonly questions: { readonly picture: number; readonly texts: readonly string[] };
}

export const prompts = ['text', 'one', 'two'] as const;
export type Prompt = (typeof prompts)[number];

export interface QwenFixture {
  readonly name: string;
  readonly folder: string;
  readonly config: LookingConfig;
  readonly rules: PictureRules;
  readonly decoder: DecoderShape;
  readonly backbone: Backbone;
  readonly vision: NonNullable<Backbone['vision']>;
  readonly golden: QwenGolden;
  /** The id that stands for a vector. */
  readonly placeholder: number;
  readonly endTokens: readonly number[];
  /** A picture of the folder as it is looked at, by the reference's own resize. */
  resized(index: number): Promise<Image>;
  picture(index: number): Promise<Image>;
  layOut(pictures: readonly Image[]): Readonly<Record<string, PictureArray>>;
  place(picture: Image): PictureSpan;
  weights(device: Device, storage?: WeightStorage): Promise<ParameterSet>;
  floats(key: string): Float32Array;
  words(key: string): number[];
  shape(key: string): readonly number[];
  has(key: string): boolean;
}

/** What a test puts in place of the right thing, to see that it is noticed. */
export interface Mistake {
  readonly config?: (config: LookingConfig) => LookingConfig;
  readonly decoder?: (decoder: DecoderShape) => DecoderShape;
  readonly arrays?: (
    arrays: Readonly<Record<string, PictureArray>>,
    config: LookingConfig,
  ) => Readonly<Record<string, PictureArray>>;
  readonly place?: (place: PictureSpan) => PictureSpan;
  readonly weight?: (name: string, data: Float32Array, config: LookingConfig) => Float32Array;
}

export async function loadQwenFixture(folder: string, mistake: Mistake = {}): Promise<QwenFixture> {
  const path = (file: string): string => join(folder, file);
  const read = readQwenConfig(path('config.json'));
  if (read.vision === undefined) throw new MissingValue('config.json has no vision part');
  const rules = readPictureRules(folder, read.family, read.vision);
  const config = mistake.config?.(read) ?? read;
  const golden = JSON.parse(readFileSync(path('golden.json'), 'utf8')) as QwenGolden;
  const tensors = await readSafetensors(path('golden.safetensors'));
  const right = qwenDecoder(config.family, config.text);
  const backbone = qwenBackbone('fixture', config, rules);
  const { vision } = backbone;
  if (vision === undefined) throw new MissingValue('the backbone does not look');
  const placeholder = golden.special['<|image_pad|>'];
  if (placeholder === undefined) throw new MissingValue('golden.json has no special <|image_pad|>');
  const { eos_token_id: ends } = JSON.parse(readFileSync(path('generation_config.json'), 'utf8')) as {
    eos_token_id: number | number[];
  };
  const tensor = (key: string): StoredTensor => {
    const found = tensors.get(key);
    if (found === undefined) throw new MissingValue(`golden.safetensors has no ${key}`);
    return found;
  };
  const file = path('model.safetensors');
  const load = async (): Promise<Map<string, { shape: readonly number[]; data: Float32Array }>> => {
    const source = renamed(await openWeightSource(file), formats[config.family].names, 'port');
    try {
      const stored = await readFloatTensors(source, () => true);
      return new Map(
        [...stored].map(([name, { shape, data }]) => [
          name,
          { shape, data: mistake.weight?.(name, data, config) ?? data },
        ]),
      );
    } finally {
      await source.close();
    }
  };
  const pictureOf = (index: number, which: 'file' | 'resized'): Promise<Image> => {
    const known = golden.pictures[index];
    if (known === undefined) throw new MissingValue(`golden.json has no picture ${index}`);
    return decodePicture(readFileSync(path(known[which])));
  };
  return {
    name: basename(resolve(folder)),
    folder,
    config,
    rules,
    decoder: mistake.decoder?.(right) ?? right,
    backbone,
    vision,
    golden,
    placeholder,
    endTokens: [ends].flat(),
    resized: (index) => pictureOf(index, 'resized'),
    picture: (index) => pictureOf(index, 'file'),
    layOut(pictures) {
      const arrays = vision.layOut(pictures);
      return mistake.arrays?.(arrays, config) ?? arrays;
    },
    place(picture) {
      const place = vision.span(picture);
      return mistake.place?.(place) ?? place;
    },
    async weights(device, storage = 'f32') {
      const specs: ParameterSpec[] = [...backbone.parameters, ...vision.parameters];
      const weights = new ParameterSet(device, specs, { seed: 0, storage, initialize: 'none' });
      weights.load(await load(), file);
      return weights;
    },
    floats(key) {
      const { data } = tensor(key);
      if (!(data instanceof Float32Array)) throw new MissingValue(`${key} holds integers`);
      return data;
    },
    words: (key) => Array.from(tensor(key).data, Number),
    shape: (key) => tensor(key).shape,
    has: (key) => tensors.has(key),
  };
}
