/** A cache of pulled models with everything but their weights: enough to check and plan a preset for a published model. */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './runs.ts';

const commit = 'a'.repeat(40);

/** What the published configurations say. */
const models = {
  'Janus-Pro-1B': {
    hidden_size: 2048,
    intermediate_size: 5632,
    num_hidden_layers: 24,
    num_attention_heads: 16,
    num_key_value_heads: 16,
  },
  'Janus-Pro-7B': {
    hidden_size: 4096,
    intermediate_size: 11008,
    num_hidden_layers: 30,
    num_attention_heads: 32,
    num_key_value_heads: 32,
  },
};

/** Fills the folder that HF_HUB_CACHE is to name. The tokenizer takes every byte for a token. */
export function makeHubShells(cache: string): void {
  for (const [name, sizes] of Object.entries(models)) {
    const model = join(cache, `models--deepseek-community--${name}`);
    const snapshot = join(model, 'snapshots', commit);
    mkdirSync(snapshot, { recursive: true });
    mkdirSync(join(model, 'refs'), { recursive: true });
    writeFileSync(join(model, 'refs', 'main'), commit);
    const config = {
      architectures: ['JanusForConditionalGeneration'],
      model_type: 'janus',
      text_config: { vocab_size: 102400, max_position_embeddings: 16384, ...sizes },
      vision_config: { projection_dim: sizes.hidden_size },
      vq_config: { projection_dim: sizes.hidden_size, image_token_embed_dim: sizes.hidden_size, num_patches: 24 },
    };
    writeFileSync(join(snapshot, 'config.json'), JSON.stringify(config));
    copyFileSync(join(root, 'plugins/huggingface-tokenizer/bytes/tokenizer.json'), join(snapshot, 'tokenizer.json'));
  }
}
