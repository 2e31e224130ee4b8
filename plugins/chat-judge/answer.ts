/** What is asked of a judge, and what of its answer counts. */

/** {prompt} stands for the prompt. In our words; the published instruction asks for the same three steps and the same box. */
export const strictInstruction = `You see a picture that was drawn for the prompt: "{prompt}".
First describe the picture thoroughly, without being swayed by the prompt. Then list everything the prompt demands. Then check, one by one, that every thing is there and that counts, colors and positions are right. Be extremely strict: a single fault fails the picture.
Reason first. Then end with your verdict as a single number in a box: \\boxed{1} for a perfect match, \\boxed{0} otherwise.`;

/**
 * The number in the last \boxed{…} of an answer, from 0 to 1; undefined for an answer without one. Braces are balanced, so that
 * \boxed{\text{1}} is seen as what it is: no number.
 */
export function boxedScore(answer: string): number | undefined {
  const start = answer.lastIndexOf('\\boxed{');
  if (start < 0) return undefined;
  let depth = 0;
  for (let index = start + '\\boxed'.length; index < answer.length; index++) {
    if (answer[index] === '{') depth += 1;
    if (answer[index] === '}') depth -= 1;
    if (depth > 0) continue;
    const text = answer.slice(start + '\\boxed{'.length, index).trim();
    const value = Number(text);
    return text !== '' && value >= 0 && value <= 1 ? value : undefined;
  }
  return undefined;
}
