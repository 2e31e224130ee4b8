/** Tensor names of the original Janus checkpoints and of the Hugging Face port, whose names the backbone's weights have. */
import { vqNames, type NameRule } from '../../core/compute.ts';

/** Layers of an aligner beyond the first: any depth up to this one. */
const deepestAligner = 8;

const tower = 'vision_model.vision_tower.';
const portTower = 'model.vision_model.';

export const janusNames: readonly NameRule[] = [
  { original: 'language_model.model.*', port: 'model.language_model.*' },
  { original: 'language_model.lm_head.*', port: 'lm_head.*' },
  { original: 'gen_embed.*', port: 'model.generation_embeddings.*' },
  ...aligner('gen_aligner', 'model.generation_aligner'),
  { original: 'gen_head.output_mlp_projector.*', port: 'model.generation_head.proj_out.*' },
  { original: 'gen_head.vision_head.*', port: 'model.generation_head.vision_head.*' },
  ...vqNames,
  { original: `${tower}patch_embed.proj.*`, port: `${portTower}embeddings.patch_embedding.*` },
  { original: `${tower}pos_embed`, port: `${portTower}embeddings.position_embedding.weight`, leadingAxis: true },
  {
    original: `${tower}blocks.#.attn.qkv.*`,
    port: ['q', 'k', 'v'].map((part) => `${portTower}encoder.layers.#.self_attn.${part}_proj.*`),
  },
  { original: `${tower}blocks.#.attn.proj.*`, port: `${portTower}encoder.layers.#.self_attn.projection_layer.*` },
  { original: `${tower}blocks.#.norm1.*`, port: `${portTower}encoder.layers.#.layer_norm1.*` },
  { original: `${tower}blocks.#.norm2.*`, port: `${portTower}encoder.layers.#.layer_norm2.*` },
  { original: `${tower}blocks.#.mlp.*`, port: `${portTower}encoder.layers.#.mlp.*` },
  { original: `${tower}norm.*`, port: `${portTower}post_layernorm.*` },
  // The pooling head of SigLIP is in the original files and never used.
  { original: `${tower}attn_pool.*`, port: [] },
  ...aligner('aligner', 'model.aligner'),
];

/** The original counts the GELUs between the layers. */
function aligner(original: string, port: string): NameRule[] {
  const hidden = Array.from({ length: deepestAligner - 1 }, (_, layer) => ({
    original: `${original}.layers.${2 * (layer + 1)}.*`,
    port: `${port}.hidden_layers.${layer}.*`,
  }));
  return [{ original: `${original}.layers.0.*`, port: `${port}.fc1.*` }, ...hidden];
}

/** Tensors of the port that a checkpoint holds and a run may do without: the vision part and the codec, which are models of their own. */
export const janusOtherParts: readonly string[] = ['model.vision_model.', 'model.aligner.', 'model.vqmodel.'];
