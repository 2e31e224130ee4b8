/** What is asked of a judge, and what of its answer counts. */

/** {prompt} stands for the prompt. In our words; the published instruction asks for the same three steps and the same box. */
export const strictInstruction = `You see a picture that was drawn for the prompt: "{prompt}".
First describe the picture thoroughly, without being swayed by the prompt. Then list everything the prompt demands. Then check, one by one, that every thing is there and that counts, colors and positions are right. Be extremely strict: a single fault fails the picture.
Reason first. Then end with your verdict as a single number in a box: \\boxed{1} for a perfect match, \\boxed{0} otherwise.`;

/** For a single word; {prompt} stands for the prompt. */
export const gradedInstruction = `Does this picture show "{prompt}"? Everything must be there, and counts, colors and positions must be right. Answer with one word, yes or no.`;

/** What stands before a verdict: nothing, the end of a sentence, or a word that announces it. */
const announced =
  /(^|[.!?;\n)\]}>=]|(?<!\b(?:says?|said|reads?|reading|texts?|words?|written|writing|signs?|prompt|asked|labell?ed)\s*):|\b(verdict|answer|score|result|rating|evaluation|judgement|judgment)(\s+(is|of))?)$/i;

/**
 * What is in the \boxed{…} that ends an answer: 0 or 1, with `partial` any number between; undefined for an answer without one. A box that the
 * answer only quotes is no verdict: from the question or the prompt (`quoted`), from the picture, or one behind which the answer goes on. Braces are
 * balanced, so that \boxed{\text{1}} is seen as what it is: no number.
 */
export function boxedScore(answer: string, quoted: readonly string[] = [], partial = false): number | undefined {
  const own = quoted.reduce((text, each) => (each === '' ? text : text.replaceAll(each, () => ' … ')), answer);
  const start = own.lastIndexOf('\\boxed{');
  if (start < 0) return undefined;
  const inside = start + '\\boxed{'.length;
  const end = closingBrace(own, inside);
  if (end === undefined || /[^\s.$*`)\]]/.test(own.slice(end + 1))) return undefined;
  const before = own.slice(0, start).replace(/[\s$*`([]+$/, '');
  const isOnOwnLine = /\n[\s$*`([]*$/.test(own.slice(0, start));
  if (!isOnOwnLine && !announced.test(before)) return undefined;
  const text = own.slice(inside, end).trim();
  if (!partial) return text === '0' || text === '1' ? Number(text) : undefined;
  const value = Number(text);
  return text !== '' && value >= 0 && value <= 1 ? value : undefined;
}

function closingBrace(text: string, from: number): number | undefined {
  let depth = 1;
  for (let index = from; index < text.length; index++) {
    if (text[index] === '{') depth += 1;
    if (text[index] === '}') depth -= 1;
    if (depth === 0) return index;
  }
  return undefined;
}

/** Spellings of an answer's first token. */
export const yesWords = ['yes', 'Yes', 'YES', ' yes', ' Yes', ' YES', '▁yes', '▁Yes', 'Ġyes', 'ĠYes'];
export const noWords = ['no', 'No', 'NO', ' no', ' No', ' NO', '▁no', '▁No', 'Ġno', 'ĠNo'];

/** Whether an answer in words says yes or no; undefined when it says neither. */
export function yesOrNo(answer: string): boolean | undefined {
  const [word] = /^[\s"'*]*(yes|no)\b/i.exec(answer)?.slice(1) ?? [];
  return word === undefined ? undefined : word.toLowerCase() === 'yes';
}
