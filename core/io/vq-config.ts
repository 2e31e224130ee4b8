/** Sizes of the VQ-16 codec from the config.json of a published model, in both of its forms; see plugins/janus/config.ts for the rest of it. */
import type { VqCodecConfig } from '../nn/vq-codec.ts';
import { ConfigReader } from './config-reader.ts';

/** Normalization groups: fixed in both implementations. */
const groups = 32;

/** The codec of a whole config.json; undefined when the file describes none. Throws BAD_CONFIG naming the key. */
export function publishedVqConfig(json: unknown, place: string): VqCodecConfig | undefined {
  const root = new ConfigReader(json, place);
  if (root.has('vq_config')) {
    const vision = root.has('vision_config') ? root.child('vision_config') : undefined;
    const vq = root.child('vq_config');
    const grid =
      vision === undefined
        ? vq.count('num_patches')
        : vision.quotient('image_size', vision.count('image_size', 384), 'patch_size', vision.count('patch_size', 16));
    return portVqConfig(vq, grid);
  }
  if (!root.has('gen_vision_config')) return undefined;
  const tower = root.child('vision_config').child('params');
  // Towers of this class have patches of 16 pixels unless their sizes are written down.
  const grid = tower.quotient(
    'image_size',
    tower.count('image_size', 384),
    'patch_size',
    tower.count('patch_size', 16),
  );
  return originalVqConfig(root.child('gen_vision_config').child('params'), grid);
}

/** `vq` is `vq_config` of the Hugging Face port; absent keys have the defaults of its class. */
export function portVqConfig(vq: ConfigReader, grid: number): VqCodecConfig {
  const multipliers = vq.counts('channel_multiplier', [1, 1, 2, 2, 4]);
  return {
    ...levels(grid, multipliers, vq.count('num_res_blocks', 2)),
    baseChannels: vq.count('base_channels', 128),
    latentChannels: vq.count('latent_channels', 256),
    embeddingDimension: vq.count('embed_dim', 8),
    codes: vq.count('num_embeddings', 16384),
  };
}

/** `codec` is `gen_vision_config.params` of the original form. */
export function originalVqConfig(codec: ConfigReader, grid: number): VqCodecConfig {
  const encoder = codec.counts('encoder_ch_mult', [1, 1, 2, 2, 4]);
  const decoder = codec.counts('decoder_ch_mult', [1, 1, 2, 2, 4]);
  if (encoder.join() !== decoder.join())
    throw codec.bad('decoder_ch_mult', `[${decoder}] differs from encoder_ch_mult [${encoder}]`);
  return {
    ...levels(grid, encoder, codec.count('num_res_blocks', 2)),
    baseChannels: codec.count('ch', 128),
    latentChannels: codec.count('z_channels', 256),
    embeddingDimension: codec.count('n_embed'),
    codes: codec.count('image_token_size'),
  };
}

/** The decoder has one block more on every level. */
function levels(
  grid: number,
  multipliers: readonly number[],
  blocks: number,
): Pick<VqCodecConfig, 'imageSize' | 'multipliers' | 'encoderBlocks' | 'decoderBlocks' | 'attention' | 'groups'> {
  return {
    imageSize: grid * 2 ** (multipliers.length - 1),
    multipliers,
    encoderBlocks: multipliers.map(() => blocks),
    decoderBlocks: multipliers.map(() => blocks + 1),
    attention: 'coarsest',
    groups,
  };
}
