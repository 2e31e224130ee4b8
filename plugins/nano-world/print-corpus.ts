/** Writes the texts of the nano world, one a line, for training a tokenizer: see plugins/byte-bpe/train.ts. */
import { createNanoDataset } from './dataset.ts';

process.stdout.write(`${createNanoDataset().corpus().join('\n')}\n`);
