/** The tokenizer of the small backbone, for tests that give token ids. */
export const smallTokenizer = {
  vocabularySize: 23,
  special: { bos: 0, eos: 1, pad: 2, imageStart: 3 },
  hash: 'small',
  encode: () => [],
  decode: () => '',
  prompt: () => [],
  unconditional: (ids: readonly number[]) => [0, ...ids.slice(1, -1).map(() => 2), 3],
};
