/** A `tokenizer.json` of byte-level BPE behind the tokenizer contract: any text goes in and comes out unchanged. */
import { readTokenizerFile } from '../../core/compute.ts';
import type { Tokenizer } from '../../core/plugin.ts';
import type { TextLayout } from './layouts.ts';

/** Reads the file at `path`. Fails when it is no tokenizer or lacks one of the layout's special tokens. */
export function loadByteBpe(path: string, layout: TextLayout): Tokenizer {
  const file = readTokenizerFile(path, Object.values(layout.tokens));
  const { vocabularySize, hash } = file;
  const special = {
    bos: file.idOf(layout.tokens.bos),
    eos: file.idOf(layout.tokens.eos),
    pad: file.idOf(layout.tokens.pad),
    imageStart: file.idOf(layout.tokens.imageStart),
  };
  const think = file.idOf(layout.tokens.think);
  const encode = (text: string): number[] => (text === '' ? [] : file.encode(layout.leadingSpace ? ` ${text}` : text));
  return {
    vocabularySize,
    special,
    hash,
    encode,
    decode(tokenIds) {
      const outside = tokenIds.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabularySize);
      if (outside !== undefined) throw new RangeError(`decode: ${outside} is not a token id below ${vocabularySize}.`);
      const text = file.decode(tokenIds);
      return layout.leadingSpace && text.startsWith(' ') ? text.slice(1) : text;
    },
    prompt: (text, mode) => [special.bos, ...encode(text), mode === 'rationale' ? think : special.imageStart],
    unconditional: () => [special.bos, special.imageStart],
  };
}
