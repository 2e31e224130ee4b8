/** Janus models as they are published: recognized by config.json, written back in either layout. */
import { ReasongenError, type PublishedFormat, type PublishedType, type WantedConfig } from '../../core/plugin.ts';
import { parseJanusConfig, type JanusConfig } from './config.ts';
import { janusNames, janusOtherParts } from './names.ts';

/** The value of model_type. */
const modelTypes = { huggingface: 'janus', original: 'multi_modality' } as const;

export const janusFormat: PublishedFormat = {
  name: 'janus',
  names: janusNames,
  otherParts: janusOtherParts,
  opens: {
    tokenizer: { use: 'huggingface', option: 'file' },
    imageTokenizer: { use: 'vq', option: 'checkpoint' },
    backbone: { use: 'janus-checkpoint', option: 'checkpoint' },
  },
  layoutOf(config) {
    const type = isRecord(config) ? config['model_type'] : undefined;
    if (type === modelTypes.huggingface) return 'huggingface';
    return type === modelTypes.original ? 'original' : undefined;
  },
  configFiles(config, wanted) {
    const parsed = parseJanusConfig(config, wanted.place);
    if (parsed.form === wanted.layout)
      return { 'config.json': retyped(config as Record<string, unknown>, wanted.type) };
    const type = wanted.type === undefined ? notedType(config) : torchType(wanted.type);
    const noted = type === undefined ? {} : { torch_dtype: type };
    if (wanted.layout === 'original') return { 'config.json': { ...originalConfig(parsed), ...noted } };
    const ids = specialIds(wanted);
    return {
      'config.json': { ...portConfig(parsed, ids), ...noted },
      'generation_config.json': generationConfig(ids),
    };
  },
};

interface SpecialIds {
  readonly bos: number;
  readonly eos: number;
  readonly pad: number;
  readonly imageStart: number;
  readonly imagePlace: number;
}

/** The port writes ids down that the original code finds by their strings. */
function specialIds({ tokenId, place }: WantedConfig): SpecialIds {
  const find = (token: string): number => {
    const id = tokenId(token);
    if (id !== undefined) return id;
    throw new ReasongenError({
      code: 'BAD_CONFIG',
      message: `the Hugging Face layout needs the id of ${token}, and no tokenizer.json beside config.json has this token`,
      place,
      hint: 'put the tokenizer.json of the model beside its config.json',
      exitCode: 2,
    });
  };
  return {
    bos: find('<｜begin▁of▁sentence｜>'),
    eos: find('<｜end▁of▁sentence｜>'),
    pad: find('<｜▁pad▁｜>'),
    imageStart: find('<begin_of_image>'),
    imagePlace: find('<image_placeholder>'),
  };
}

function portConfig({ decoder, image, vision, codec }: JanusConfig, ids: SpecialIds): Record<string, unknown> {
  return {
    architectures: ['JanusForConditionalGeneration'],
    image_token_id: ids.imagePlace,
    model_type: modelTypes.huggingface,
    text_config: { ...languageConfig(decoder), bos_token_id: ids.bos, eos_token_id: ids.eos, pad_token_id: ids.pad },
    tie_word_embeddings: false,
    vision_config: {
      model_type: 'janus_vision_model',
      attention_bias: true,
      depth: vision.alignerLayers,
      hidden_act: 'gelu',
      hidden_size: vision.hidden,
      image_size: vision.imageSize,
      layer_norm_eps: vision.normEpsilon,
      mlp_ratio: ratio(vision.mlp, vision.hidden),
      num_attention_heads: vision.heads,
      num_channels: 3,
      num_hidden_layers: vision.layers,
      num_image_tokens: vision.grid ** 2,
      patch_size: vision.patchSize,
      projection_dim: decoder.hidden,
      use_qk_norm: false,
    },
    vq_config: {
      model_type: 'janus_vqgan',
      base_channels: codec.baseChannels,
      channel_multiplier: codec.multipliers,
      double_latent: false,
      embed_dim: image.dimension,
      hidden_act: 'gelu',
      image_token_embed_dim: decoder.hidden,
      in_channels: 3,
      latent_channels: codec.latentChannels,
      num_embeddings: image.vocabulary,
      num_hidden_layers: image.alignerLayers,
      num_patches: vision.grid,
      num_res_blocks: codec.encoderBlocks[0],
      out_channels: 3,
      projection_dim: decoder.hidden,
    },
  };
}

function generationConfig(ids: SpecialIds): Record<string, unknown> {
  return {
    bos_token_id: ids.bos,
    eos_token_id: ids.eos,
    pad_token_id: ids.pad,
    guidance_scale: 5,
    generation_kwargs: { boi_token_id: ids.imageStart },
  };
}

/**
 * The original code takes the sizes of tower and codec from the names of their classes. Here they are written beside the names, where
 * this program reads them; the original code knows the published sizes only.
 */
function originalConfig({ decoder, image, vision, codec }: JanusConfig): Record<string, unknown> {
  const { hidden } = decoder;
  const projector = (model_type: string, input_dim: number, depth: number) => ({
    cls: 'MlpProjector',
    model_type,
    params: { depth, input_dim, n_embed: hidden, projector_type: 'mlp_gelu' },
  });
  const isPublished =
    vision.hidden === 1024 &&
    vision.layers === 24 &&
    vision.heads === 16 &&
    vision.mlp === 4096 &&
    vision.patchSize === 16;
  const isVq16 =
    codec.baseChannels === 128 &&
    codec.multipliers.join() === '1,1,2,2,4' &&
    codec.encoderBlocks[0] === 2 &&
    codec.latentChannels === 256;
  return {
    architectures: ['MultiModalityCausalLM'],
    model_type: modelTypes.original,
    aligner_config: projector('aligner', vision.hidden, vision.alignerLayers),
    gen_aligner_config: projector('gen_aligner', image.dimension, image.alignerLayers),
    gen_head_config: {
      cls: 'vision_head',
      model_type: 'gen_head',
      params: { image_token_embed: hidden, image_token_size: image.vocabulary, n_embed: hidden },
    },
    gen_vision_config: {
      cls: 'VQ-16',
      model_type: 'gen_vision',
      params: {
        image_token_size: image.vocabulary,
        n_embed: image.dimension,
        ...(!isVq16 && {
          ch: codec.baseChannels,
          encoder_ch_mult: codec.multipliers,
          decoder_ch_mult: codec.multipliers,
          num_res_blocks: codec.encoderBlocks[0],
          z_channels: codec.latentChannels,
        }),
      },
    },
    language_config: languageConfig(decoder),
    vision_config: {
      cls: 'CLIPVisionTower',
      model_type: 'vision',
      params: {
        image_size: vision.imageSize,
        model_name: 'siglip_large_patch16_384',
        select_feature: 'same',
        select_layer: -1,
        ...(!isPublished && {
          patch_size: vision.patchSize,
          width: vision.hidden,
          layers: vision.layers,
          heads: vision.heads,
          mlp_ratio: ratio(vision.mlp, vision.hidden),
        }),
      },
    },
  };
}

function languageConfig(decoder: JanusConfig['decoder']): Record<string, unknown> {
  return {
    model_type: 'llama',
    attention_bias: false,
    head_dim: decoder.headDimension,
    hidden_act: 'silu',
    hidden_size: decoder.hidden,
    intermediate_size: decoder.mlp,
    max_position_embeddings: decoder.maxPositions,
    mlp_bias: false,
    num_attention_heads: decoder.heads,
    num_hidden_layers: decoder.layers,
    num_key_value_heads: decoder.keyValueHeads,
    rms_norm_eps: decoder.normEpsilon,
    rope_theta: decoder.ropeTheta,
    tie_word_embeddings: false,
    vocab_size: decoder.textVocabulary,
  };
}

/** Readers truncate ratio · width. */
function ratio(inner: number, width: number): number {
  const exact = inner / width;
  return Math.trunc(exact * width) === inner ? exact : (inner + 0.5) / width;
}

function torchType(type: PublishedType): string {
  return { f32: 'float32', f16: 'float16', bf16: 'bfloat16' }[type];
}

/** What a configuration says of the types of its weights, which transformers loads them in; undefined where it says nothing. */
function notedType(config: unknown): string | undefined {
  const { dtype, torch_dtype: older } = isRecord(config) ? config : {};
  return [dtype, older].find((type): type is string => typeof type === 'string');
}

/** The type is noted at the top and in the parts; newer files call it `dtype`. */
function retyped(config: Readonly<Record<string, unknown>>, type: PublishedType | undefined): Record<string, unknown> {
  if (type === undefined) return { ...config };
  const named = (value: unknown): unknown => {
    if (!isRecord(value)) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [
        key,
        key === 'dtype' || key === 'torch_dtype' ? torchType(type) : named(inner),
      ]),
    );
  };
  const result = named(config) as Record<string, unknown>;
  return 'dtype' in result ? result : { ...result, torch_dtype: torchType(type) };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
