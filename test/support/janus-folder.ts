/** A published model as small as the golden fixtures: their weights, and a tokenizer of single ASCII characters with the special tokens of Janus. */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tokens } from '../../plugins/huggingface-tokenizer/deepseek.ts';

const fixtures = fileURLToPath(new URL('../golden/janus/', import.meta.url));

/** Ids as in the fixtures: the special tokens from 0, then the two roles, the printable characters and the newline. */
export function asciiTokenizer(): object {
  const special = [
    tokens.bos,
    tokens.eos,
    tokens.pad,
    tokens.imageStart,
    tokens.imageEnd,
    tokens.imagePlaceholder,
    tokens.user,
    tokens.assistant,
  ];
  // As byte-level files spell the blank and the newline.
  const characters = ['Ġ', 'Ċ', ...Array.from({ length: 94 }, (_, index) => String.fromCharCode(0x21 + index))];
  return {
    version: '1.0',
    added_tokens: special.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      vocab: Object.fromEntries([...special, ...characters].map((token, id) => [token, id])),
      merges: [],
    },
  };
}

/** The folder of a fixture's model with its tokenizer; `original`: under the names of the original checkpoint. */
export function janusFolder(to: string, fixture: 'tiny-a' | 'tiny-b', original = false): string {
  mkdirSync(to, { recursive: true });
  copyFileSync(join(fixtures, fixture, 'config.json'), join(to, 'config.json'));
  copyFileSync(
    join(fixtures, fixture, original ? 'model-original.safetensors' : 'model.safetensors'),
    join(to, 'model.safetensors'),
  );
  writeFileSync(join(to, 'tokenizer.json'), JSON.stringify(asciiTokenizer()));
  return to;
}
