/** Words of a prompt that name something, and whether a text names them, too. */

/** English words that name nothing, and what prompts begin with. */
const silent = new Set(
  `a an the this that these those some any each every all both of in on at to from by with without and or but as is are was were be being been
  it its there their his her he she they them who which what where when while into onto over near next beside besides above below under behind
  front between left right top bottom side up down off out than then so very too also not no only just has have having had do does
  photo photograph picture image painting drawing illustration render rendering close view shot scene background foreground
  photorealistic realistic detailed quality style`
    .split(/\s+/)
    .filter(Boolean),
);

const numbers = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten'];

/** In small letters; in scripts without spaces, what stands between them. */
export function wordsOf(text: string): string[] {
  return (
    text
      .normalize('NFKC')
      .toLowerCase()
      .match(/[\p{L}\p{M}\p{N}]+(?:['’][\p{L}]+)?/gu) ?? []
  );
}

/** Each word of a prompt that names something, once, as it is written there. */
export function contentWords(prompt: string): string[] {
  const seen = new Map<string, string>();
  for (const word of wordsOf(prompt)) if (!silent.has(word) && !seen.has(stem(word))) seen.set(stem(word), word);
  return [...seen.values()];
}

/** Those of the words that a text has in some form. */
export function namedWords(words: readonly string[], text: string): string[] {
  const said = new Set(wordsOf(text).map(stem));
  return words.filter((word) => said.has(stem(word)));
}

/** One form for singular and plural, for possession, and for a number in letters and digits. Rough: two words of one form are taken for one. */
function stem(word: string): string {
  const number = numbers.indexOf(word);
  if (number >= 0) return String(number);
  const bare = word.replace(/['’]s$/, '').replace('ou', 'o');
  if (bare.length > 4 && bare.endsWith('ies')) return `${bare.slice(0, -3)}y`;
  if (bare.length > 4 && /(?:ch|sh|s|x|z)es$/.test(bare)) return bare.slice(0, -2);
  if (bare.length > 4 && bare.endsWith('ves')) return `${bare.slice(0, -3)}f`;
  if (bare.length > 3 && bare.endsWith('s') && !/(?:ss|us|is)$/.test(bare)) return bare.slice(0, -1);
  return bare.endsWith('fe') ? bare.slice(0, -1) : bare;
}
