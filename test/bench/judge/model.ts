/** The folder of a small Qwen2.5-VL that looks at pictures of the nano world: sizes, picture rules, tokenizer, template. A vector of its tower is a cell. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Backbone, Vision } from '../../../core/contracts/backbone.ts';
import type { Tokenizer } from '../../../core/contracts/tokenizer.ts';
import { trainByteBpe } from '../../../plugins/byte-bpe/trainer.ts';
import { qwenBackbone } from '../../../plugins/qwen-vl/backbone.ts';
import { chatTokens, readChatLayout } from '../../../plugins/qwen-vl/chat.ts';
import { readQwenConfig } from '../../../plugins/qwen-vl/config.ts';
import { readPictureRules } from '../../../plugins/qwen-vl/pictures.ts';
import { qwenTokenizer } from '../../../plugins/qwen-vl/tokenizer.ts';

const sizes = {
  ...{ hidden: 128, layers: 3, heads: 4, keyValueHeads: 4, mlp: 256 },
  vision: { width: 96, layers: 3, heads: 4, mlp: 192 },
};

export interface OpenJudge {
  readonly backbone: Backbone;
  readonly vision: Vision;
  readonly tokenizer: Tokenizer;
}

/** The model of a folder; it may be without weights. */
export async function openJudge(folder: string): Promise<OpenJudge> {
  const config = readQwenConfig(join(folder, 'config.json'));
  if (config.vision === undefined) throw new RangeError('unreachable: it has a tower');
  const backbone = qwenBackbone('judge', config, readPictureRules(folder, config.family, config.vision));
  if (backbone.vision === undefined) throw new RangeError('unreachable: it looks');
  const tokenizer = qwenTokenizer(join(folder, 'tokenizer.json'), await readChatLayout(folder, {}));
  return { backbone, vision: backbone.vision, tokenizer };
}

/** Everything but the weights. `corpus` has every word that it reads and writes. */
export function writeJudgeFolder(folder: string, corpus: readonly string[]): void {
  mkdirSync(folder, { recursive: true });
  const write = (name: string, content: unknown): void =>
    writeFileSync(join(folder, name), `${JSON.stringify(content, undefined, 1)}\n`);
  const tokenizer = trainByteBpe(corpus, { specialTokens: Object.values(chatTokens) });
  const vocabulary = Object.keys(tokenizer.model.vocab).length;
  write('tokenizer.json', tokenizer);
  // A system message would be the same tokens in front of every question.
  write('chat_template.json', { chat_template: template });
  write('preprocessor_config.json', {
    ...{ min_pixels: 256, max_pixels: 48 * 48, patch_size: 8, merge_size: 2, temporal_patch_size: 2 },
    ...{ image_mean: [0.5, 0.5, 0.5], image_std: [0.5, 0.5, 0.5] },
  });
  write('config.json', {
    architectures: ['Qwen2_5_VLForConditionalGeneration'],
    model_type: 'qwen2_5_vl',
    ...{ hidden_act: 'silu', hidden_size: sizes.hidden, intermediate_size: sizes.mlp, vocab_size: vocabulary },
    ...{ num_hidden_layers: sizes.layers, num_attention_heads: sizes.heads, num_key_value_heads: sizes.keyValueHeads },
    ...{ max_position_embeddings: 512, rms_norm_eps: 1e-6, rope_theta: 10_000, tie_word_embeddings: true },
    ...{ use_sliding_window: false, rope_scaling: { type: 'mrope', mrope_section: [4, 6, 6] } },
    vision_config: {
      ...{ depth: sizes.vision.layers, hidden_size: sizes.vision.width, intermediate_size: sizes.vision.mlp },
      ...{ num_heads: sizes.vision.heads, out_hidden_size: sizes.hidden, hidden_act: 'silu', in_chans: 3 },
      ...{ patch_size: 8, spatial_merge_size: 2, temporal_patch_size: 2, window_size: 16, fullatt_block_indexes: [1] },
    },
  });
}

const template = `{% for message in messages %}${chatTokens.start}{{ message.role }}
{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}{% if part.type == 'image' %}${chatTokens.pictureStart}${chatTokens.vector}${chatTokens.pictureEnd}{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}${chatTokens.end}
{% endfor %}{% if add_generation_prompt %}${chatTokens.start}assistant
{% endif %}`;
