/** Learns a byte-level BPE from texts and writes it as a standard `tokenizer.json`. */
import { byteCharacters } from './bytes.ts';

export interface BpeTrainingOptions {
  /** Most tokens the file may have, special ones and the 256 bytes included. Without it: until no pair is left. */
  readonly vocabularySize?: number;
  /** Get the first ids, in this order. */
  readonly specialTokens: readonly string[];
}

/** A `tokenizer.json` in the layout of the Hugging Face tokenizers library. */
export interface TrainedTokenizer {
  readonly version: '1.0';
  readonly truncation: null;
  readonly padding: null;
  readonly added_tokens: readonly AddedTokenEntry[];
  readonly normalizer: null;
  readonly pre_tokenizer: Readonly<Record<string, unknown>>;
  readonly post_processor: null;
  readonly decoder: Readonly<Record<string, unknown>>;
  readonly model: {
    readonly type: 'BPE';
    readonly dropout: null;
    readonly unk_token: null;
    readonly continuing_subword_prefix: null;
    readonly end_of_word_suffix: null;
    readonly fuse_unk: false;
    readonly byte_fallback: false;
    readonly ignore_merges: false;
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges: readonly (readonly [string, string])[];
  };
}

interface AddedTokenEntry {
  readonly id: number;
  readonly content: string;
  readonly single_word: false;
  readonly lstrip: false;
  readonly rstrip: false;
  readonly normalized: false;
  readonly special: true;
}

/** The split of GPT-2's pre-tokenizer, which `ByteLevel` with `use_regex` applies: words take their leading space along. */
const wordPattern = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/**
 * Byte-pair encoding (Sennrich et al. 2016) over bytes (Radford et al. 2019): merges the most frequent pair until the
 * vocabulary is full or no pair is left. Of equally frequent pairs the one first in code-unit order is taken, so the
 * same texts give the same file. RangeError when `vocabularySize` has no room for the bytes.
 */
export function trainByteBpe(
  corpus: readonly string[],
  { vocabularySize, specialTokens }: BpeTrainingOptions,
): TrainedTokenizer {
  const bytes = byteCharacters();
  const base = specialTokens.length + bytes.length;
  const limit = vocabularySize ?? Number.POSITIVE_INFINITY;
  if (limit < base) throw new RangeError(`trainByteBpe: a vocabulary of ${limit} has no room for ${base} base tokens.`);
  const words = countWords(corpus, bytes);
  const tokens = [...specialTokens, ...bytes];
  const known = new Set(tokens);
  const merges: [string, string][] = [];
  while (tokens.length < limit) {
    const pair = mostFrequentPair(words);
    if (!pair) break;
    merges.push(pair);
    const merged = pair.join('');
    // Two merges may spell the same token; it then keeps its first id.
    if (!known.has(merged)) {
      known.add(merged);
      tokens.push(merged);
    }
    for (const word of words) applyMerge(word.symbols, pair);
  }
  return tokenizerFile(tokens, merges, specialTokens);
}

interface Word {
  readonly symbols: string[];
  readonly count: number;
}

function countWords(corpus: readonly string[], bytes: readonly string[]): Word[] {
  const counts = new Map<string, number>();
  for (const text of corpus) {
    for (const word of text.match(wordPattern) ?? []) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const encoder = new TextEncoder();
  return [...counts].map(([word, count]) => ({
    symbols: Array.from(encoder.encode(word), (byte) => bytes[byte] ?? ''),
    count,
  }));
}

function mostFrequentPair(words: readonly Word[]): [string, string] | undefined {
  const counts = new Map<string, number>();
  for (const { symbols, count } of words) {
    for (let index = 1; index < symbols.length; index++) {
      // A space cannot occur in a token: bytes are spelled with printable characters.
      const pair = `${symbols[index - 1]} ${symbols[index]}`;
      counts.set(pair, (counts.get(pair) ?? 0) + count);
    }
  }
  let best: string | undefined;
  let bestCount = 0;
  for (const [pair, count] of counts) {
    if (count > bestCount || (count === bestCount && best !== undefined && pair < best))
      [best, bestCount] = [pair, count];
  }
  const [left, right] = best?.split(' ') ?? [];
  return left === undefined || right === undefined ? undefined : [left, right];
}

/** Joins every occurrence of the pair, left to right, in place. */
function applyMerge(symbols: string[], [left, right]: readonly [string, string]): void {
  for (let index = 0; index + 1 < symbols.length; index++) {
    if (symbols[index] === left && symbols[index + 1] === right) symbols.splice(index, 2, left + right);
  }
}

function tokenizerFile(
  tokens: readonly string[],
  merges: readonly (readonly [string, string])[],
  specialTokens: readonly string[],
): TrainedTokenizer {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
}
