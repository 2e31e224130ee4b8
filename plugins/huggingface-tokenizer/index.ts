/** The tokenizer of a Janus-class model, from the tokenizer.json in its folder. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { definePlugin, defineTokenizer, inputFile, z } from '../../core/plugin.ts';
import { janusTokenizer, publishedQuestions } from './tokenizer.ts';

export default definePlugin({
  name: 'huggingface-tokenizer',
  provides: [
    defineTokenizer({
      name: 'huggingface',
      summary: 'any tokenizer.json with the special tokens of Janus; prompts in the layout "deepseek"',
      options: z.strictObject({
        file: inputFile().describe('a tokenizer.json, or the folder of a model that has one'),
        rationaleQuestion: z.string().default(publishedQuestions.rationaleQuestion).describe('what is asked where a rationale is to be written; {prompt} stands for the prompt'),
        directQuestion: z.string().default(publishedQuestions.directQuestion).describe('what is asked where the picture is drawn at once'),
        system: z.string().optional().describe("in front of conversations about pictures; Janus-Pro's own by default"),
      }),
      create: ({ file, rationaleQuestion, directQuestion, system }) =>
        janusTokenizer(statSync(file).isDirectory() ? join(file, 'tokenizer.json') : file, { rationaleQuestion, directQuestion, ...(system !== undefined && { system }) }),
    }),
  ],
});
