/** Byte-level BPE: reads any `tokenizer.json` of that kind; a small trainer stands beside it. */
import { fileURLToPath } from 'node:url';
import { defineTokenizer, definePlugin, inputFile, z } from '../../core/plugin.ts';
import { layouts } from './layouts.ts';
import { loadByteBpe } from './tokenizer.ts';

const nanoFile = new URL('./nano/tokenizer.json', import.meta.url);

export default definePlugin({
  name: 'byte-bpe',
  provides: [
    defineTokenizer({
      name: 'byte-bpe',
      summary: 'Byte-level BPE from a tokenizer.json; any text goes in and comes out unchanged',
      options: z.strictObject({
        file: inputFile().optional().describe("A tokenizer.json; without it, the nano world's"),
        layout: z.enum(['nano']).default('nano').describe('How prompts are laid out around the special tokens'),
      }),
      create: ({ file, layout }) => loadByteBpe(file ?? fileURLToPath(nanoFile), layouts[layout]),
    }),
  ],
});
