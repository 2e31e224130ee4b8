/**
 * What config.json of the published models says of their sizes, for plans without any file. Those of the 32B and 72B models are of the text models they
 * were made from.
 */

const windows = {
  depth: 32,
  hidden_size: 1280,
  num_heads: 16,
  patch_size: 14,
  temporal_patch_size: 2,
  spatial_merge_size: 2,
  in_chans: 3,
  spatial_patch_size: 14,
  window_size: 112,
  fullatt_block_indexes: [7, 15, 23, 31],
  hidden_act: 'silu',
  tokens_per_second: 2,
};

/** hidden, layers, heads, key/value heads, inner width, rows of the vocabulary. */
function second(
  [hidden, layers, heads, keyValueHeads, mlp, vocabulary]: readonly [number, number, number, number, number, number],
  towerMlp: number,
  isTied = false,
) {
  return {
    model_type: 'qwen2_5_vl',
    hidden_act: 'silu',
    hidden_size: hidden,
    intermediate_size: mlp,
    max_position_embeddings: 128_000,
    num_attention_heads: heads,
    num_hidden_layers: layers,
    num_key_value_heads: keyValueHeads,
    rms_norm_eps: 1e-6,
    rope_theta: 1e6,
    rope_scaling: { type: 'mrope', mrope_section: [16, 24, 24] },
    use_sliding_window: false,
    vocab_size: vocabulary,
    tie_word_embeddings: isTied,
    vision_config: { ...windows, intermediate_size: towerMlp, out_hidden_size: hidden },
  };
}

/** The same, then depth, width and inner width of the tower, and the blocks of the deepstack. */
function third(
  [hidden, layers, heads, keyValueHeads, mlp]: readonly [number, number, number, number, number],
  [depth, width, towerMlp]: readonly [number, number, number],
  deepstack: readonly number[],
  isTied: boolean,
) {
  return {
    model_type: 'qwen3_vl',
    tie_word_embeddings: isTied,
    text_config: {
      attention_bias: false,
      head_dim: 128,
      hidden_act: 'silu',
      hidden_size: hidden,
      intermediate_size: mlp,
      max_position_embeddings: 262_144,
      num_attention_heads: heads,
      num_hidden_layers: layers,
      num_key_value_heads: keyValueHeads,
      rms_norm_eps: 1e-6,
      rope_theta: 5e6,
      rope_scaling: { mrope_interleaved: true, mrope_section: [24, 20, 20], rope_type: 'default' },
      vocab_size: 151_936,
    },
    vision_config: {
      depth,
      hidden_size: width,
      intermediate_size: towerMlp,
      num_heads: 16,
      out_hidden_size: hidden,
      patch_size: 16,
      temporal_patch_size: 2,
      spatial_merge_size: 2,
      in_channels: 3,
      num_position_embeddings: 2304,
      deepstack_visual_indexes: deepstack,
      hidden_act: 'gelu_pytorch_tanh',
    },
  };
}

export const publishedConfigs = {
  'qwen2.5-vl-3b': second([2048, 36, 16, 2, 11_008, 151_936], 3420, true),
  'qwen2.5-vl-7b': second([3584, 28, 28, 4, 18_944, 152_064], 3420),
  'qwen2.5-vl-32b': second([5120, 64, 40, 8, 27_648, 152_064], 3456),
  'qwen2.5-vl-72b': second([8192, 80, 64, 8, 29_568, 152_064], 3456),
  'qwen3-vl-2b': third([2048, 28, 16, 8, 6144], [24, 1024, 4096], [5, 11, 17], true),
  'qwen3-vl-4b': third([2560, 36, 32, 8, 9728], [24, 1024, 4096], [5, 11, 17], true),
  'qwen3-vl-8b': third([4096, 36, 32, 8, 12_288], [27, 1152, 4304], [8, 16, 24], false),
};

export type PublishedName = keyof typeof publishedConfigs;
export const publishedNames = Object.keys(publishedConfigs) as [PublishedName, ...PublishedName[]];
