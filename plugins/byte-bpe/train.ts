/**
 * Trains a tokenizer on the lines of standard input and writes it to standard output:
 *   npx tsx plugins/nano-world/print-corpus.ts | npx tsx plugins/byte-bpe/train.ts nano > plugins/byte-bpe/nano/tokenizer.json
 * First argument: the layout. Second, optional: the most tokens the vocabulary may have. A tool, not part of the plugin.
 */
import { text } from 'node:stream/consumers';
import { layouts, specialTokensOf } from './layouts.ts';
import { trainByteBpe } from './trainer.ts';

const [name, size] = process.argv.slice(2);
if (name !== 'nano') throw new Error(`There is no layout "${name}". There is: ${Object.keys(layouts).join(', ')}.`);
const layout = layouts[name];
const lines = (await text(process.stdin)).split('\n').filter((line) => line !== '');
const file = trainByteBpe(
  lines.map((line) => (layout.leadingSpace ? ` ${line}` : line)),
  { specialTokens: specialTokensOf(layout), ...(size === undefined ? {} : { vocabularySize: Number(size) }) },
);
process.stdout.write(`${JSON.stringify(file, null, 1)}\n`);
