/** A `tokenizer.json` behind the tokenizer contract. The only file that knows @huggingface/tokenizers. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Tokenizer as FileTokenizer } from '@huggingface/tokenizers';
import { ReasongenError, z } from '../../core/plugin.ts';
import type { Tokenizer } from '../../core/plugin.ts';
import type { Layout } from './layouts.ts';

/** What of the file is read here; the library reads the rest. */
const fileSchema = z.looseObject({
  added_tokens: z.array(z.looseObject({ id: z.int().min(0), content: z.string(), special: z.boolean() })).default([]),
  model: z.looseObject({ vocab: z.record(z.string(), z.int().min(0)) }),
});

/** Reads the file at `path`. Fails when it is no tokenizer or lacks one of the layout's special tokens. */
export function loadByteBpe(path: string, layout: Layout): Tokenizer {
  const bytes = readFileSync(path);
  const file = parse(bytes.toString('utf8'), path);
  const ids = new Map(Object.entries(file.model.vocab));
  for (const { content, id } of file.added_tokens) ids.set(content, id);
  const idOf = (token: string): number => {
    const id = ids.get(token);
    if (id !== undefined) return id;
    throw new ReasongenError({
      code: 'TOKENIZER_LACKS_TOKEN',
      message: `the tokenizer has no special token "${token}", which the layout needs`,
      place: path,
      cure: 'choose the layout this tokenizer was made for, or train one with plugins/byte-bpe/train.ts',
    });
  };
  const special = {
    bos: idOf(layout.tokens.bos),
    eos: idOf(layout.tokens.eos),
    pad: idOf(layout.tokens.pad),
    imageStart: idOf(layout.tokens.imageStart),
  };
  const think = idOf(layout.tokens.think);
  const silent = new Set([...Object.values(special), think, ...file.added_tokens.filter((one) => one.special).map((one) => one.id)]);
  const vocabularySize = Math.max(...ids.values()) + 1;
  // Without its special tokens the library reads "<boi>" in a prompt as five characters, not as a command.
  const plain = { ...file, added_tokens: file.added_tokens.filter((one) => !one.special) };
  const library = new FileTokenizer(plain, { clean_up_tokenization_spaces: false });

  function encode(text: string): number[] {
    if (text === '') return [];
    return library.encode(layout.leadingSpace ? ` ${text}` : text, { add_special_tokens: false }).ids;
  }
  return {
    vocabularySize,
    special,
    hash: createHash('sha256').update(bytes).digest('hex'),
    encode,
    decode(tokenIds) {
      const outside = tokenIds.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabularySize);
      if (outside !== undefined) throw new RangeError(`decode: ${outside} is not a token id below ${vocabularySize}.`);
      const audible = tokenIds.filter((id) => !silent.has(id));
      if (audible.length === 0) return '';
      const text = library.decode(audible, { skip_special_tokens: false });
      return layout.leadingSpace && text.startsWith(' ') ? text.slice(1) : text;
    },
    prompt: (text, mode) => [special.bos, ...encode(text), mode === 'rationale' ? think : special.imageStart],
    unconditional: () => [special.bos, special.imageStart],
  };
}

function parse(text: string, path: string): z.output<typeof fileSchema> {
  const fail = (message: string, cause: unknown) =>
    new ReasongenError({ code: 'BAD_TOKENIZER_FILE', message, place: path, cure: 'give a tokenizer.json of the Hugging Face layout', cause });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw fail('the tokenizer file is not JSON', cause);
  }
  const result = fileSchema.safeParse(json);
  if (!result.success) throw fail(`the tokenizer file is not a tokenizer: ${z.prettifyError(result.error)}`, result.error);
  return result.data;
}
