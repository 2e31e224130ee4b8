/**
 * The sizes of a Qwen2.5-VL or Qwen3-VL model (dense), or of a Qwen2, Qwen2.5 or Qwen3 text model, from its `config.json`. Fields of the language model stand at the top, in `text_config`, or in
 * both; rotary sections in `rope_scaling` or `rope_parameters`. Nothing is taken from defaults of configuration classes: they are not those of the
 * published models. What asks for something this implementation does not compute is refused by its name.
 */
import { readFileSync } from 'node:fs';
import { ConfigReader } from '../../core/compute.ts';
import { ReasongenError } from '../../core/plugin.ts';

/** Classes by `model_type`. Those of text models are the decoders alone, whose positions have one axis. */
export const families = { qwen2_5_vl: 'qwen2.5-vl', qwen3_vl: 'qwen3-vl', qwen2: 'qwen2', qwen3: 'qwen3' } as const;
export type Family = (typeof families)[keyof typeof families];
export type TextFamily = 'qwen2' | 'qwen3';
export type LookingFamily = Exclude<Family, TextFamily>;

/** Of the third generation: queries and keys are normalized and have no biases. */
export function isThird(family: Family): boolean {
  return family === 'qwen3' || family === 'qwen3-vl';
}

export interface QwenTextSizes {
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDimension: number;
  readonly mlp: number;
  readonly ropeTheta: number;
  readonly normEpsilon: number;
  /** Pairs of a head that turn by time, row and column; absent of text models. */
  readonly sections?: readonly number[];
  /** Rows of the table and of the head; ids beyond the tokenizer's are padding. */
  readonly vocabulary: number;
  readonly maxPositions: number;
  /** The head is the table. */
  readonly isTied: boolean;
}

export interface QwenVisionSizes {
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly mlp: number;
  /** Pixels of a patch's side. */
  readonly patchSize: number;
  /** Copies of a still picture in a patch. */
  readonly frames: number;
  /** Patches of a side of the square that becomes one vector. */
  readonly merge: number;
  /** Width of the decoder. */
  readonly hidden: number;
  /** Base of the positions by row and column. */
  readonly ropeTheta: number;
  /** Qwen2.5-VL: vectors of a window's side, and the blocks that see whole pictures. */
  readonly windows?: { readonly side: number; readonly fullBlocks: readonly number[] };
  /** Qwen3-VL: places of the table's side, and the blocks whose states are added behind the first layers of the decoder. */
  readonly table?: { readonly side: number };
  readonly deepstack: readonly number[];
}

export interface LookingConfig {
  readonly family: LookingFamily;
  readonly text: QwenTextSizes;
  readonly vision: QwenVisionSizes;
}

export interface TextConfig {
  readonly family: TextFamily;
  readonly text: QwenTextSizes;
  readonly vision?: undefined;
}

export type QwenConfig = LookingConfig | TextConfig;

/** Reads `config.json`. Throws BAD_CONFIG naming the key. */
export function readQwenConfig(path: string): QwenConfig {
  return parseQwenConfig(readJson(path), path);
}

/** A file of JSON in a model's folder. Throws BAD_CONFIG. */
export function readJson(path: string): unknown {
  const text = readModelText(path);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw unreadable(path, 'is not JSON', cause);
  }
}

/** A file of text in a model's folder. Throws BAD_CONFIG. */
export function readModelText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw unreadable(path, 'cannot be read', cause);
  }
}

function unreadable(place: string, why: string, cause: unknown): ReasongenError {
  return new ReasongenError({
    code: 'BAD_CONFIG',
    message: `the file ${why}`,
    place,
    hint: 'use the files that came with the checkpoint',
    exitCode: 2,
    cause,
  });
}

/** The same from parsed JSON; `place` stands for the file in errors. */
export function parseQwenConfig(json: unknown, place: string): QwenConfig {
  const root = new ConfigReader(json, place);
  const type = root.text('model_type');
  if (!isKnown(type))
    throw root.bad('model_type', `is "${type}"; such a model has ${Object.keys(families).join(', ')}`);
  const family = families[type];
  const text = textSizes(root, family);
  if (family === 'qwen2' || family === 'qwen3') return { family, text };
  const vision = root.child('vision_config');
  vision.mustEqual('out_hidden_size', text.hidden, 'the width of the language model', text.hidden);
  return { family, text, vision: visionSizes(vision, family, text.hidden) };
}

/** Whether a `model_type` is of one of these classes. */
export function isKnown(type: string): type is keyof typeof families {
  return Object.hasOwn(families, type);
}

function textSizes(root: ConfigReader, family: Family): QwenTextSizes {
  const nested = root.has('text_config') ? root.child('text_config') : root;
  /** Where a field stands: nested or, in flat files, at the top. */
  const at = (key: string): ConfigReader => (nested.has(key) ? nested : root);
  const count = (key: string): number => at(key).count(key);
  at('hidden_act').mustBe('hidden_act', 'silu');
  at('use_sliding_window').mustBe('use_sliding_window', false);
  if (isThird(family)) at('attention_bias').mustBe('attention_bias', false);
  const hidden = count('hidden_size');
  const heads = count('num_attention_heads');
  const headDimension = at('head_dim').has('head_dim')
    ? count('head_dim')
    : at('hidden_size').quotient('hidden_size', hidden, 'num_attention_heads', heads);
  const ropeKey = at('rope_parameters').has('rope_parameters') ? 'rope_parameters' : 'rope_scaling';
  const rope = at(ropeKey).has(ropeKey) ? at(ropeKey).child(ropeKey) : undefined;
  for (const key of ['type', 'rope_type'])
    if (rope?.has(key) === true && !['mrope', 'default'].includes(rope.text(key)))
      throw rope.bad(key, `is "${rope.text(key)}": rotary positions are computed unscaled`);
  const isText = family === 'qwen2' || family === 'qwen3';
  return {
    hidden,
    layers: count('num_hidden_layers'),
    heads,
    keyValueHeads: at('num_key_value_heads').divisor('num_key_value_heads', heads, 'num_attention_heads', heads),
    headDimension,
    mlp: count('intermediate_size'),
    ropeTheta: (rope?.has('rope_theta') === true ? rope : at('rope_theta')).positive('rope_theta'),
    normEpsilon: at('rms_norm_eps').positive('rms_norm_eps'),
    ...(!isText && { sections: sectionsOf(rope ?? at(ropeKey).child(ropeKey), headDimension) }),
    vocabulary: count('vocab_size'),
    maxPositions: count('max_position_embeddings'),
    isTied: at('tie_word_embeddings').flag('tie_word_embeddings'),
  };
}

function sectionsOf(rope: ConfigReader, headDimension: number): readonly number[] {
  const sections = rope.counts('mrope_section');
  if (sections.length !== 3 || sections.reduce((sum, size) => sum + size, 0) !== headDimension / 2)
    throw rope.bad('mrope_section', `[${sections}] does not divide the ${headDimension / 2} pairs of a head in three`);
  return sections;
}

function visionSizes(vision: ConfigReader, family: LookingFamily, hidden: number): QwenVisionSizes {
  const isWindowed = family === 'qwen2.5-vl';
  vision.mustBe('hidden_act', isWindowed ? 'silu' : 'gelu_pytorch_tanh');
  for (const key of ['in_chans', 'in_channels']) vision.mustBe(key, 3);
  const width = vision.count('hidden_size');
  const heads = vision.count('num_heads');
  const headDimension = vision.quotient('hidden_size', width, 'num_heads', heads);
  if (headDimension % 4 !== 0)
    throw vision.bad('num_heads', `gives heads of ${headDimension}: their pairs do not divide into rows and columns`);
  const patchSize = vision.count('patch_size');
  const merge = vision.count('spatial_merge_size');
  const layers = vision.count('depth');
  const blocks = (key: string): readonly number[] => {
    const indices = vision.indices(key);
    if (indices.some((index) => index >= layers))
      throw vision.bad(key, `[${indices}] names blocks beyond the ${layers}`);
    return indices;
  };
  return {
    width,
    layers,
    heads,
    mlp: vision.count('intermediate_size'),
    patchSize,
    frames: vision.count('temporal_patch_size'),
    merge,
    hidden,
    ropeTheta: vision.has('rope_parameters')
      ? vision.child('rope_parameters').positive('rope_theta', towerTheta)
      : towerTheta,
    ...(isWindowed
      ? {
          windows: { side: windowSide(vision, patchSize, merge), fullBlocks: blocks('fullatt_block_indexes') },
          deepstack: [],
        }
      : { table: { side: tableSide(vision) }, deepstack: blocks('deepstack_visual_indexes') }),
  };
}

/** Of all published towers, whose files seldom say it. */
const towerTheta = 10_000;

/** In vectors. */
function windowSide(vision: ConfigReader, patchSize: number, merge: number): number {
  const size = vision.count('window_size');
  const side = Math.floor(Math.floor(size / merge) / patchSize);
  if (side < 1) throw vision.bad('window_size', `${size} is smaller than a vector's ${merge * patchSize} pixels`);
  return side;
}

function tableSide(vision: ConfigReader): number {
  const places = vision.count('num_position_embeddings');
  const side = Math.round(Math.sqrt(places));
  if (side * side !== places) throw vision.bad('num_position_embeddings', `${places} is not a square`);
  return side;
}
