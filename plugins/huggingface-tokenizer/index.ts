/** The tokenizer of a Janus-class model, from the tokenizer.json in its folder. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { definePlugin, defineTokenizer, inputFile, z } from '../../core/plugin.ts';
import { janusTokenizer, publishedQuestions } from './tokenizer.ts';

/** Every byte a token, and the special tokens of Janus: for models of random weights, which need a tokenizer and no published one. */
const bytesFile = new URL('./bytes/tokenizer.json', import.meta.url);

export default definePlugin({
  name: 'huggingface-tokenizer',
  provides: [
    defineTokenizer({
      name: 'huggingface',
      summary: 'any tokenizer.json with the special tokens of Janus; prompts in the layout "deepseek"',
      options: z.strictObject({
        file: inputFile()
          .optional()
          .describe(
            'a tokenizer.json, or the folder of a model that has one; without it every byte is a token, which does for random weights',
          ),
        rationaleQuestion: z
          .string()
          .default(publishedQuestions.rationaleQuestion)
          .describe('what is asked where a rationale is to be written; {prompt} stands for the prompt'),
        directQuestion: z
          .string()
          .default(publishedQuestions.directQuestion)
          .describe('what is asked where the picture is drawn at once'),
        system: z.string().optional().describe("in front of conversations about pictures; Janus-Pro's own by default"),
      }),
      create: ({ file, rationaleQuestion, directQuestion, system }) =>
        janusTokenizer(fileOf(file), { rationaleQuestion, directQuestion, ...(system !== undefined && { system }) }),
    }),
  ],
});

function fileOf(file: string | undefined): string {
  if (file === undefined) return fileURLToPath(bytesFile);
  return statSync(file).isDirectory() ? join(file, 'tokenizer.json') : file;
}
