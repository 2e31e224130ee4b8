/**
 * The sizes of a Janus-class model from its `config.json`, which comes in two forms: that of the Hugging Face port (`model_type: janus`)
 * and that of the original checkpoints (`model_type: multi_modality`). Both writers leave out what equals the default of their
 * configuration classes; those defaults are listed here and are used for absent keys only. A key that asks for something this
 * implementation does not compute is refused by its name.
 */
import { readFileSync } from 'node:fs';
import { ConfigReader, originalVqConfig, portVqConfig, type VqCodecConfig } from '../../core/compute.ts';
import { ReasongenError } from '../../core/plugin.ts';

export interface JanusDecoderSizes {
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDimension: number;
  readonly mlp: number;
  readonly ropeTheta: number;
  readonly normEpsilon: number;
  /** Rows of the text table and of the text head. */
  readonly textVocabulary: number;
  /** Longest sequence the model was trained for. */
  readonly maxPositions: number;
}

/** SigLIP without a class token: a ViT whose every patch is an output. */
export interface JanusVisionSizes {
  readonly imageSize: number;
  readonly patchSize: number;
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  readonly mlp: number;
  readonly normEpsilon: number;
  /** Patches per row and column of a picture; grid² vectors enter the decoder. */
  readonly grid: number;
  /** Linear layers of the aligner into the decoder, at least 1. */
  readonly alignerLayers: number;
}

export interface JanusConfig {
  readonly form: 'huggingface' | 'original';
  readonly decoder: JanusDecoderSizes;
  readonly image: {
    /** Codes of the codec: rows of the code table and of the image head. */
    readonly vocabulary: number;
    /** Length of a code vector. */
    readonly dimension: number;
    /** Linear layers of the aligner from code vectors into the decoder, at least 1. */
    readonly alignerLayers: number;
  };
  readonly vision: JanusVisionSizes;
  readonly codec: VqCodecConfig;
  /** Id that stands for a patch of a picture that is looked at; only the port says it. The tokenizer knows it by its string. */
  readonly imageTokenId: number | undefined;
}

/** Reads `config.json`. Throws BAD_CONFIG naming the key. */
export function readJanusConfig(path: string): JanusConfig {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    const why = cause instanceof SyntaxError ? 'is not JSON' : 'cannot be read';
    throw new ReasongenError({
      code: 'BAD_CONFIG',
      message: `the file ${why}`,
      place: path,
      hint: 'point to the config.json of a Janus model',
      exitCode: 2,
      cause,
    });
  }
  return parseJanusConfig(json, path);
}

/** The same from parsed JSON; `place` stands for the file in errors. */
export function parseJanusConfig(json: unknown, place: string): JanusConfig {
  const root = new ConfigReader(json, place);
  const type = root.text('model_type');
  if (type === 'janus') return huggingFaceConfig(root);
  if (type === 'multi_modality') return originalConfig(root);
  throw root.bad(
    'model_type',
    `is "${type}"; a Janus model has "janus" (Hugging Face port) or "multi_modality" (original)`,
  );
}

function huggingFaceConfig(root: ConfigReader): JanusConfig {
  const decoder = decoderSizes(root.child('text_config'));
  const { hidden } = decoder;
  const vision = root.child('vision_config');
  vision.mustBe('hidden_act', 'gelu');
  vision.mustBe('num_channels', 3);
  vision.mustBe('attention_bias', true);
  vision.mustBe('use_qk_norm', false);
  vision.mustEqual('projection_dim', hidden, 'text_config.hidden_size', 2048);
  const width = vision.count('hidden_size', 1024);
  const imageSize = vision.count('image_size', 384);
  const patchSize = vision.count('patch_size', 16);
  const grid = vision.quotient('image_size', imageSize, 'patch_size', patchSize);
  vision.mustEqual('num_image_tokens', grid ** 2, '(image_size / patch_size)²', grid ** 2);

  const vq = root.child('vq_config');
  vq.mustBe('double_latent', false);
  vq.mustBe('in_channels', 3);
  vq.mustBe('out_channels', 3);
  vq.mustBe('hidden_act', 'gelu');
  vq.mustEqual('projection_dim', hidden, 'text_config.hidden_size', 2048);
  vq.mustEqual('image_token_embed_dim', hidden, 'text_config.hidden_size', 2048);
  // The port overwrites num_patches by the grid of the vision tower.
  const codec = portVqConfig(vq, grid);
  return {
    form: 'huggingface',
    decoder,
    image: {
      vocabulary: codec.codes,
      dimension: codec.embeddingDimension,
      alignerLayers: vq.count('num_hidden_layers', 2),
    },
    vision: {
      imageSize,
      patchSize,
      grid,
      hidden: width,
      layers: vision.count('num_hidden_layers', 24),
      heads: vision.divisor('num_attention_heads', 16, 'hidden_size', width),
      mlp: vision.product('mlp_ratio', 4, width),
      normEpsilon: vision.positive('layer_norm_eps', 1e-6),
      alignerLayers: vision.count('depth', 2),
    },
    codec,
    imageTokenId: root.has('image_token_id') ? root.index('image_token_id') : undefined,
  };
}

/** https://github.com/deepseek-ai/Janus: `params` of each part are the arguments of the class named by `cls`. */
function originalConfig(root: ConfigReader): JanusConfig {
  const decoder = decoderSizes(root.child('language_config'));
  const { hidden } = decoder;
  const part = (name: string, cls: string): ConfigReader => {
    const config = root.child(name);
    config.mustBe('cls', cls);
    return config.child('params');
  };
  const aligner = part('aligner_config', 'MlpProjector');
  aligner.mustBe('projector_type', 'mlp_gelu');
  aligner.mustEqual('n_embed', hidden, 'language_config.hidden_size');
  const codeAligner = part('gen_aligner_config', 'MlpProjector');
  codeAligner.mustBe('projector_type', 'mlp_gelu');
  codeAligner.mustEqual('n_embed', hidden, 'language_config.hidden_size');
  const head = part('gen_head_config', 'vision_head');
  head.mustEqual('n_embed', hidden, 'language_config.hidden_size');
  head.mustEqual('image_token_embed', hidden, 'language_config.hidden_size');
  const codec = part('gen_vision_config', 'VQ-16');
  const { codes: vocabulary, embeddingDimension: dimension } = originalVqConfig(codec, 1);
  head.mustEqual('image_token_size', vocabulary, 'gen_vision_config.params.image_token_size');
  codeAligner.mustEqual('input_dim', dimension, 'gen_vision_config.params.n_embed');

  const tower = part('vision_config', 'CLIPVisionTower');
  tower.mustBe('select_feature', 'same');
  tower.mustBe('select_layer', -1);
  const known = siglipSizes[tower.text('model_name')];
  if (known === undefined)
    throw tower.bad('model_name', `is not known; known are: ${Object.keys(siglipSizes).join(', ')}`);
  const width = tower.count('width', known.width);
  aligner.mustEqual('input_dim', width, 'the width of vision_config.params.model_name');
  const imageSize = tower.count('image_size', known.imageSize);
  const patchSize = tower.count('patch_size', known.patchSize);
  const grid = tower.quotient('image_size', imageSize, 'patch_size', patchSize);
  return {
    form: 'original',
    decoder,
    image: { vocabulary, dimension, alignerLayers: codeAligner.count('depth') },
    vision: {
      imageSize,
      patchSize,
      grid,
      hidden: width,
      layers: tower.count('layers', known.layers),
      heads: tower.divisor('heads', known.heads, 'width', width),
      mlp: tower.product('mlp_ratio', 4, width),
      normEpsilon: 1e-6,
      alignerLayers: aligner.count('depth'),
    },
    codec: originalVqConfig(codec, grid),
    imageTokenId: undefined,
  };
}

/** Towers by the names the original code knows (its `SigLIP_MODEL_CONFIG`). */
const siglipSizes: Readonly<
  Record<
    string,
    {
      readonly imageSize: number;
      readonly patchSize: number;
      readonly width: number;
      readonly layers: number;
      readonly heads: number;
    }
  >
> = {
  siglip_large_patch16_384: { imageSize: 384, patchSize: 16, width: 1024, layers: 24, heads: 16 },
  siglip_large_patch16_256: { imageSize: 256, patchSize: 16, width: 1024, layers: 24, heads: 16 },
};

/** Defaults are those of `LlamaConfig`; the original 7B names hardly anything else. */
function decoderSizes(text: ConfigReader): JanusDecoderSizes {
  text.mustBe('model_type', 'llama');
  text.mustBe('hidden_act', 'silu');
  text.mustBe('attention_bias', false);
  text.mustBe('mlp_bias', false);
  text.mustBe('tie_word_embeddings', false);
  const hidden = text.count('hidden_size', 4096);
  const heads = text.count('num_attention_heads', 32);
  const keyValueHeads = text.divisor('num_key_value_heads', heads, 'num_attention_heads', heads);
  const headDimension = text.has('head_dim')
    ? text.count('head_dim')
    : text.quotient('hidden_size', hidden, 'num_attention_heads', heads);
  // Newer files write rope_parameters, in which rope_theta need not be; older ones rope_theta and rope_scaling.
  const rope = text.has('rope_parameters') ? text.child('rope_parameters') : undefined;
  for (const key of ['rope_type', 'type']) rope?.mustBe(key, 'default');
  if (text.has('rope_scaling'))
    throw text.bad('rope_scaling', 'is not supported: rotary positions are computed unscaled');
  return {
    hidden,
    layers: text.count('num_hidden_layers', 32),
    heads,
    keyValueHeads,
    headDimension,
    mlp: text.count('intermediate_size', 11008),
    ropeTheta: (rope?.has('rope_theta') === true ? rope : text).positive('rope_theta', 10000),
    normEpsilon: text.positive('rms_norm_eps', 1e-6),
    textVocabulary: text.count('vocab_size', 32000),
    maxPositions: text.count('max_position_embeddings', 2048),
  };
}
