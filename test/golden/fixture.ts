/** A golden fixture: a reduced random Janus model and what PyTorch computes for it. Every size is read from its config.json. */
import { existsSync, readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { ParameterSet, type WeightStorage } from '../../core/weights/parameters.ts';
import type { Backbone, Vision } from '../../core/contracts/backbone.ts';
import type { Device } from '../../core/gpu/device.ts';
import { readSafetensors, type StoredTensor } from '../support/safetensors.ts';
import type { DecoderShape } from '../../core/nn/decoder.ts';
import { readFloatTensors } from '../../core/io/weight-files/floats.ts';
import { openWeightSource } from '../../core/io/weight-files/open.ts';
import { renamed } from '../../core/io/weight-files/renamed.ts';
import { fromVqCheckpoint } from '../../core/nn/vq-checkpoint.ts';
import { vqCodec, type VqCodec } from '../../core/nn/vq-codec.ts';
import { janusBackbone, janusDecoder } from '../../plugins/janus/backbone.ts';
import { sizesOf } from '../../plugins/janus/checkpoint.ts';
import { readJanusConfig } from '../../plugins/janus/config.ts';
import { janusNames } from '../../plugins/janus/names.ts';

/** The two forms a fixture's weights may lie in. */
export const weightFiles = { huggingface: 'model.safetensors', original: 'model-original.safetensors' } as const;
export type WeightForm = keyof typeof weightFiles;

export interface Fixture {
  readonly name: string;
  readonly folder: string;
  readonly form: WeightForm;
  readonly backbone: Backbone;
  readonly vision: Vision;
  readonly tower: { readonly imageSize: number; readonly patchSize: number };
  readonly decoder: DecoderShape;
  readonly codec: VqCodec;
  readonly golden: GoldenScalars;
  readonly special: Required<GoldenScalars['special']>;
  /** Weights of the backbone without its vision part; with `trained`, gradients are kept and decay applies to all, as in the fixture's training. */
  weights(device: Device, trained: boolean, storage?: WeightStorage): Promise<ParameterSet>;
  /** The same with the vision part. */
  seeingWeights(device: Device): Promise<ParameterSet>;
  codecWeights(device: Device): Promise<ParameterSet>;
  /** A tensor of `golden.safetensors`. Throws MissingValue. */
  floats(key: string): Float32Array;
  words(key: string): number[];
  shape(key: string): readonly number[];
  keys(prefix: string): string[];
}

/** The scalars of `golden.json` that the groups read. */
export interface GoldenScalars {
  readonly special: Readonly<Record<'bos' | 'eos' | 'pad' | 'boi' | 'eoi', number> & { image_placeholder?: number }>;
  readonly sft?: {
    readonly weights: { readonly text: number; readonly image: number; readonly image_start: number };
    readonly loss: number;
  };
  readonly sft_train?: {
    readonly optimizer: {
      readonly lr: number;
      readonly betas: readonly [number, number];
      readonly eps: number;
      readonly weight_decay: number;
      readonly grad_clip: number;
    };
    readonly losses: readonly number[];
    readonly grad_norms: readonly number[];
  };
  readonly grpo?: GrpoScalars;
  readonly adaptive_entropy?: {
    readonly init: number;
    readonly target: number;
    readonly lr: number;
    readonly bounds: readonly [number, number];
    readonly entropies: readonly number[];
    readonly alpha: readonly number[];
  };
}

export interface GrpoScalars {
  readonly clip: number;
  readonly beta: number;
  readonly text_entropy_coefficient: number;
  readonly image_entropy_coefficient: number;
  readonly logit_clamp: number;
  readonly pg_loss: number;
  readonly kl_k3: number;
  readonly text_entropy: number;
  readonly image_entropy: number;
  readonly total: number;
  readonly clip_fraction: number;
  readonly ppo_kl: number;
  readonly rewards: readonly number[];
}

/** The fixture lacks what a group compares with. */
export class MissingValue extends Error {}

/** The forms in which a folder holds its weights. */
export function formsOf(folder: string): WeightForm[] {
  return (Object.keys(weightFiles) as WeightForm[]).filter((form) => existsSync(join(folder, weightFiles[form])));
}

export async function loadFixture(folder: string, form: WeightForm): Promise<Fixture> {
  const path = (file: string): string => join(folder, file);
  const config = readJanusConfig(path('config.json'));
  const golden = JSON.parse(readFileSync(path('golden.json'), 'utf8')) as GoldenScalars;
  const tensors = await readSafetensors(path('golden.safetensors'));
  const sizes = sizesOf(config);
  const backbone = janusBackbone('fixture', sizes);
  const codec = vqCodec(config.codec);
  const { vision } = backbone;
  if (vision === undefined) throw new MissingValue('config.json has no vision part');
  const file = path(weightFiles[form]);
  /** The tensors of the file under the names of the port, those of `names` only. */
  const read = async (names?: ReadonlySet<string>) => {
    const source = renamed(await openWeightSource(file), janusNames, 'port');
    try {
      return await readFloatTensors(source, (name) => names?.has(name) ?? true);
    } finally {
      await source.close();
    }
  };
  const load = async (
    device: Device,
    specs: Backbone['parameters'],
    trained: boolean,
    storage: WeightStorage = 'f32',
  ): Promise<ParameterSet> => {
    const weights = new ParameterSet(
      device,
      specs.map((spec) => ({ ...spec, decay: true })),
      { seed: 0, trainable: () => trained, storage },
    );
    weights.load(await read(new Set(specs.map(({ name }) => name))), file);
    return weights;
  };
  const tensor = (key: string): StoredTensor => {
    const found = tensors.get(key);
    if (found === undefined) throw new MissingValue(`golden.safetensors has no ${key}`);
    return found;
  };
  return {
    name: basename(resolve(folder)),
    folder,
    form,
    backbone,
    vision,
    tower: config.vision,
    decoder: janusDecoder(sizes),
    codec,
    golden,
    // Some files leave to config.json what it says already.
    special: {
      ...golden.special,
      image_placeholder: golden.special.image_placeholder ?? config.imageTokenId ?? Number.NaN,
    },
    weights: (device, trained, storage) => load(device, backbone.parameters, trained, storage),
    seeingWeights: (device) => load(device, [...backbone.parameters, ...vision.parameters], false),
    async codecWeights(device) {
      const weights = new ParameterSet(device, codec.parameters, { seed: 0 });
      weights.load(fromVqCheckpoint(codec, await read()), file);
      return weights;
    },
    floats: (key) => floatsOf(tensor(key), key),
    words: (key) => Array.from(tensor(key).data, Number),
    shape: (key) => tensor(key).shape,
    keys: (prefix) => [...tensors.keys()].filter((key) => key.startsWith(prefix)),
  };
}

function floatsOf({ data }: StoredTensor, key: string): Float32Array {
  if (!(data instanceof Float32Array)) throw new MissingValue(`${key} holds integers`);
  return data;
}
