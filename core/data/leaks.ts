/** Prompts of a benchmark among those that are trained on: as they stand, in other words' clothes, or nearly. */
import { groupBy } from '../evaluation/group-by.ts';

export interface PlacedPrompt {
  readonly prompt: string;
  /** File and line, or the benchmark. */
  readonly place: string;
}

/** `exact`: the same text. `normalized`: the same but for case, punctuation, articles and plurals. `near`: as similar as asked. */
export type LeakKind = 'exact' | 'normalized' | 'near';

export interface Leak {
  readonly kind: LeakKind;
  readonly training: PlacedPrompt;
  readonly benchmark: PlacedPrompt;
  /** 1 for all but near ones. */
  readonly similarity: number;
}

const fillers = new Set(['a', 'an', 'the', 'some', 'photo', 'picture', 'image', 'of']);
const numbers: Readonly<Record<string, string>> = { one: '1', two: '2', three: '3', four: '4', five: '5', six: '6' };

/** The words that say what is to be drawn, each in one form. */
export function drawnWords(prompt: string): string[] {
  const words =
    prompt
      .normalize('NFKC')
      .toLowerCase()
      .match(/[\p{L}\p{N}]+/gu) ?? [];
  return words.filter((word) => !fillers.has(word)).map((word) => numbers[word] ?? singular(word));
}

/** One stem for a word and its plural, `horse` and `horses`, `knife` and `knives`, `berry` and `berries`; it need not be a word. */
function singular(word: string): string {
  if (/(ss|us|is)$/.test(word)) return word;
  return word.replace(/ies$/, 'y').replace(/s$/, '').replace(/e$/, '').replace(/y$/, 'i').replace(/v$/, 'f');
}

/** Every training prompt that a benchmark has, each with the most alike of its prompts. `near` is the least similarity, 0 to 1. */
export function findLeaks(training: readonly PlacedPrompt[], benchmark: readonly PlacedPrompt[], near: number): Leak[] {
  const exact = new Map(benchmark.map((each) => [each.prompt.trim(), each]));
  const known = benchmark.map((item) => ({ item, words: drawnWords(item.prompt) }));
  const normalized = new Map(known.map(({ item, words }) => [words.join(' '), item]));
  const byWord = groupBy(
    known.flatMap((each) => [...new Set(each.words)].map((word) => ({ word, each }))),
    ({ word }) => word,
  );
  return training.flatMap((item): Leak[] => {
    const same = exact.get(item.prompt.trim());
    if (same !== undefined) return [{ kind: 'exact', training: item, benchmark: same, similarity: 1 }];
    const words = drawnWords(item.prompt);
    const alike = words.length === 0 ? undefined : normalized.get(words.join(' '));
    if (alike !== undefined) return [{ kind: 'normalized', training: item, benchmark: alike, similarity: 1 }];
    let best: Leak | undefined;
    // Only prompts with a word in common can be near.
    const candidates = new Set(words.flatMap((word) => (byWord.get(word) ?? []).map(({ each }) => each)));
    for (const other of candidates) {
      const similarity = similarityOf(words, other.words);
      if (similarity >= near && similarity > (best?.similarity ?? 0))
        best = { kind: 'near', training: item, benchmark: other.item, similarity };
    }
    return best === undefined ? [] : [best];
  });
}

/** Share of words and pairs of neighbors that both have (Jaccard): order counts, but less than words do. */
export function similarityOf(a: readonly string[], b: readonly string[]): number {
  const parts = (words: readonly string[]): Set<string> =>
    new Set([...words, ...words.slice(1).map((word, index) => `${words[index]} ${word}`)]);
  const [first, second] = [parts(a), parts(b)];
  const common = [...first].filter((part) => second.has(part)).length;
  return common / Math.max(1, first.size + second.size - common);
}
