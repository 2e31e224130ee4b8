/** Text that a prompt wants to be readable in the picture, and how much of it is. */

/** Opening and closing marks. A straight single quote begins a quotation only where no letter stands before it, and ends one only before none. */
const quotations =
  /"([^"]*)"|“([^”“]+)[”“]|„([^“”„]+)[“”]|«([^»]+)»|‘([^’‘]+)’(?!\p{L})|「([^」]+)」|(?<![\p{L}\p{N}])'([^']+(?:'\p{L}[^']*)*)'(?![\p{L}\p{N}])/gu;

/** What stands between quotation marks, in order. */
export function quotedTexts(prompt: string): string[] {
  return [...prompt.matchAll(quotations)]
    .map(
      (match) =>
        match
          .slice(1)
          .find((text) => text !== undefined)
          ?.trim() ?? '',
    )
    .filter((text) => bare(text) !== '');
}

/** Without spaces, which readers lose, and without the difference of capitals and of forms of a character. */
export function bare(text: string): string {
  return text.normalize('NFKC').replaceAll(/\s+/g, '').toLowerCase();
}

/**
 * 1 where all of a text is readable, in one piece, in what was read; less by each character that is missing, wrong or too much within it;
 * at least 0. What else was read does not count.
 */
export function readableShare(wanted: string, read: string): number {
  const [target, text] = [Array.from(bare(wanted)), Array.from(bare(read))];
  if (target.length === 0) return 1;
  // Edits to the piece of the text that is most like the target (Sellers 1980): it may begin and end anywhere.
  let before = new Array<number>(text.length + 1).fill(0);
  for (const [row, character] of target.entries()) {
    const current = [row + 1];
    for (const [column, other] of text.entries())
      current.push(
        Math.min(
          (before[column] ?? 0) + (character === other ? 0 : 1),
          (before[column + 1] ?? 0) + 1,
          (current[column] ?? 0) + 1,
        ),
      );
    before = current;
  }
  return Math.max(0, 1 - Math.min(...before) / target.length);
}
