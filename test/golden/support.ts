/** The golden fixtures: reduced random Janus models and what PyTorch computes for them. Every size is read from the fixture. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { ParameterSet } from '../../core/autograd/parameters.ts';
import type { Backbone, PackedTokens } from '../../core/contracts/backbone.ts';
import type { Device } from '../../core/gpu/device.ts';
import { readSafetensors, type StoredTensor } from '../../core/io/safetensors.ts';
import type { DecoderShape } from '../../core/nn/decoder.ts';
import { at } from '../../core/testing.ts';
import { janusBackbone } from '../../plugins/janus/backbone.ts';

/** Folders of fixtures: the ones here, and any that REASONGEN_FIXTURES names (separated by colons). */
export function fixtureFolders(): { readonly name: string; readonly folder: URL }[] {
  const here = new URL('./janus/', import.meta.url);
  const others = (process.env['REASONGEN_FIXTURES'] ?? '').split(':').filter(Boolean).map((path) => pathToFileURL(path.endsWith('/') ? path : `${path}/`));
  const own = readdirSync(fileURLToPath(here)).map((name) => new URL(`${name}/`, here));
  return [...own, ...others]
    .filter((folder) => existsSync(new URL('golden.safetensors', folder)))
    .map((folder) => ({ name: folder.pathname.split('/').at(-2) ?? '', folder }));
}

export interface Fixture {
  readonly backbone: Backbone;
  readonly decoder: DecoderShape;
  /** Weights under their Hugging Face names, those the backbone does not have left out. */
  readonly weights: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;
  /** `golden.json`. */
  readonly golden: GoldenScalars;
  readonly special: Readonly<Record<'bos' | 'eos' | 'pad' | 'boi' | 'eoi', number>>;
  /** A tensor of `golden.safetensors`. */
  floats(key: string): Float32Array;
  words(key: string): number[];
  shape(key: string): readonly number[];
  keys(prefix: string): string[];
}

export interface GoldenScalars {
  readonly special: Fixture['special'];
  readonly sft: { readonly weights: { readonly text: number; readonly image: number; readonly image_start: number }; readonly loss: number };
  readonly sft_train: {
    readonly optimizer: { readonly lr: number; readonly betas: readonly [number, number]; readonly eps: number; readonly weight_decay: number; readonly grad_clip: number };
    readonly losses: readonly number[];
    readonly grad_norms: readonly number[];
  };
  readonly grpo: { readonly logit_clamp: number };
}

interface JanusConfig {
  readonly text_config: {
    readonly vocab_size: number;
    readonly hidden_size: number;
    readonly intermediate_size: number;
    readonly num_hidden_layers: number;
    readonly num_attention_heads: number;
    readonly num_key_value_heads: number;
    readonly head_dim: number;
    readonly rms_norm_eps: number;
    readonly rope_parameters: { readonly rope_theta: number };
  };
  readonly vq_config: { readonly num_embeddings: number; readonly embed_dim: number };
}

export async function loadFixture(folder: URL): Promise<Fixture> {
  const path = (file: string): string => fileURLToPath(new URL(file, folder));
  const { text_config: text, vq_config: vq } = JSON.parse(readFileSync(path('config.json'), 'utf8')) as JanusConfig;
  const golden = JSON.parse(readFileSync(path('golden.json'), 'utf8')) as GoldenScalars;
  const stored = await readSafetensors(path('model.safetensors'));
  const tensors = await readSafetensors(path('golden.safetensors'));
  const decoder: DecoderShape = {
    prefix: 'model.language_model.',
    hidden: text.hidden_size,
    layers: text.num_hidden_layers,
    heads: text.num_attention_heads,
    keyValueHeads: text.num_key_value_heads,
    headDimension: text.head_dim,
    mlp: text.intermediate_size,
    ropeTheta: text.rope_parameters.rope_theta,
    normEpsilon: text.rms_norm_eps,
    queryKeyNorm: false,
  };
  const backbone = janusBackbone('fixture', { ...decoder, textVocabulary: text.vocab_size, imageVocabulary: vq.num_embeddings, codeDimension: vq.embed_dim });
  const tensor = (key: string): StoredTensor => {
    const found = tensors.get(key);
    if (found === undefined) throw new Error(`${folder.pathname} has no ${key}`);
    return found;
  };
  return {
    backbone,
    decoder,
    golden,
    special: golden.special,
    weights: new Map(backbone.parameters.map(({ name }) => [name, floatsOf(stored.get(name), name)])),
    floats: (key) => floatsOf(tensor(key), key).data,
    words: (key) => Array.from(tensor(key).data, Number),
    shape: (key) => tensor(key).shape,
    keys: (prefix) => [...tensors.keys()].filter((key) => key.startsWith(prefix)),
  };
}

function floatsOf(tensor: StoredTensor | undefined, name: string): { readonly shape: readonly number[]; readonly data: Float32Array } {
  if (!(tensor?.data instanceof Float32Array)) throw new Error(`${name} is missing or not f32`);
  return { shape: tensor.shape, data: tensor.data };
}

/** The fixture's weights on a device; with `trained`, gradients are kept and weight decay applies to all, as in its training run. */
export function fixtureWeights(device: Device, fixture: Fixture, trained: boolean): ParameterSet {
  const specs = fixture.backbone.parameters.map((spec) => ({ ...spec, decay: true }));
  const weights = new ParameterSet(device, specs, { seed: 0, trainable: () => trained });
  weights.load(fixture.weights, 'fixture');
  return weights;
}

export interface Token {
  readonly id: number;
  readonly isImage: boolean;
}

export interface Packed {
  readonly tokens: PackedTokens;
  /** Row of token `index` of sequence `sequence`. */
  row(sequence: number, index: number): number;
}

/** Sequences end to end, positions from zero; nothing is padded. */
export function packTokens(device: Device, sequences: readonly (readonly Token[])[]): Packed {
  const starts: number[] = [];
  const all = sequences.flatMap((sequence) => {
    const start = (starts.at(-1) ?? 0) + (sequences[starts.length - 1]?.length ?? 0);
    starts.push(start);
    return sequence.map((token, index) => ({ ...token, row: start + index, index, start, end: start + sequence.length }));
  });
  const words = (name: string, values: readonly number[]) => device.tensor(name, [values.length], 'u32', Uint32Array.from(values));
  const text = all.filter(({ isImage }) => !isImage);
  const image = all.filter(({ isImage }) => isImage);
  const tokens: PackedTokens = {
    count: all.length,
    textIds: words('text ids', text.map(({ id }) => id)),
    textRows: words('text rows', text.map(({ row }) => row)),
    ...(image.length > 0 && { imageCodes: words('codes', image.map(({ id }) => id)), imageRows: words('image rows', image.map(({ row }) => row)) }),
    positions: words('positions', all.map(({ index }) => index)),
    segmentStart: words('starts', all.map(({ start }) => start)),
    segmentEnd: words('ends', all.map(({ end }) => end)),
  };
  return { tokens, row: (sequence, index) => at(starts, sequence) + index };
}

/** Row `index` of a [rows, width] array. */
export function rowOf(values: Float32Array, index: number, width: number): Float32Array {
  return values.subarray(index * width, (index + 1) * width);
}
