/**
 * What a prompt speaks of. The published scorer asks a language model of its own (spaCy) for nouns and noun chunks; here a few rules read
 * the forms that its prompts have, and a file with the chunks that spaCy gives may take their place.
 */
import { deepPhrases, flatPhrases } from './geometry.ts';

const articles = /^(?:an?|the|some|its?|his|her|their|one)\s+/i;
const links =
  /\b(?:and|with|on|in|of|at|by|from|to|into|onto|over|under|above|below|near|behind|beside|inside|next|while|that|which|for|is|are|was|were|has|have|had|be|being|been)\b|[,.;:!?]/i;

/** Noun chunks that are not asked about. */
const left = new Set(['top', 'side', 'left', 'right', 'bottom']);

/** "a green bench and a blue bowl" → "a green bench", "a blue bowl": at most eight. */
export function nounChunks(prompt: string): string[] {
  return prompt
    .toLowerCase()
    .split(links)
    .map((part) => part.trim())
    .filter((part) => part !== '' && !left.has(withoutArticle(part)) && !/^\w+(?:ing|ed)$/.test(part))
    .slice(0, 8);
}

function withoutArticle(text: string): string {
  return text.trim().replace(articles, '');
}

/** Two things and the phrase between them; undefined where there is no phrase that is known. */
export interface Scene<Phrase extends string> {
  readonly first: string;
  readonly second: string;
  readonly phrase: Phrase;
}

export function flatScene(prompt: string): Scene<string> | undefined {
  return sceneOf(prompt, Object.keys(flatPhrases));
}

export function deepScene(prompt: string): Scene<string> | undefined {
  return sceneOf(prompt, Object.keys(deepPhrases));
}

function sceneOf(prompt: string, phrases: readonly string[]): Scene<string> | undefined {
  const text = prompt.toLowerCase().replace(/[.!?]\s*$/, '');
  for (const phrase of phrases.toSorted((a, b) => b.length - a.length)) {
    const at = new RegExp(`\\b${phrase}\\b`).exec(text)?.index;
    if (at === undefined) continue;
    const before = text.slice(0, at).split(/\b(?:is|are|was|were)\b/)[0] ?? '';
    const after = text.slice(at + phrase.length).split(/\b(?:and|with)\b|,/)[0] ?? '';
    return { first: withoutArticle(before.trim()), second: withoutArticle(after.trim()), phrase };
  }
  return undefined;
}

const people = new Set(['girl', 'boy', 'man', 'woman', 'men', 'women', 'boys', 'girls', 'people', 'child', 'children']);
const aliases: Readonly<Record<string, string>> = {
  ship: 'boat',
  telivision: 'tv',
  television: 'tv',
  goldfish: 'fish',
  painting: 'picture',
};

/** The names under which a detector may know a thing: the whole of it and its last word. */
export function namesOf(thing: string): string[] {
  const words = thing.split(/\s+/);
  const names = [thing, words.at(-1) ?? thing].flatMap((name) => [
    name,
    people.has(name) ? 'person' : (aliases[name] ?? name),
  ]);
  return [...new Set(names)];
}

const numbers = ['a', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight'];

/** "four tents, two boats and one pig" → how many of what. `plurals`: singular and plural of the nouns that are known. */
export function numbersOf(
  prompt: string,
  plurals: ReadonlyMap<string, string>,
): { readonly noun: string; readonly count: number }[] {
  const words = prompt
    .toLowerCase()
    .split(/[^a-z]+/)
    .filter(Boolean);
  return words.flatMap((word, index) => {
    const count = word === 'one' || word === 'an' ? 1 : numbers.indexOf(word) + 1;
    if (count === 0) return [];
    // Of two words after the number, the longest noun that is known.
    const [next = '', last = ''] = words.slice(index + 1, index + 3);
    const noun = plurals.get(`${next} ${last}`) ?? plurals.get(next) ?? plurals.get(last);
    return noun === undefined ? [] : [{ noun, count }];
  });
}
