/** Two sides as one HTML document: the difference first, what flipped with both pictures, what else differs. */
import { shellWord } from '../errors.ts';
import type { DrawingAnswer, PairAnswer, SidesAnswer } from '../page/answers.ts';
import { sidesView } from '../page/report-view.js';
import { comparisonAnswer, heldPicture, pictureData, type ShownPairs } from './comparisons.ts';
import { reportDocument } from './document.ts';
import { pictureWithin, shownVerdict, type DrawnLine, type Match, type Side } from './sides.ts';

/** Flips and drawings shown with their pictures; all of them are counted. */
const mostShown = 48;

/** The labels of both sides are A and B: their own are often the same. */
export async function comparisonPage(a: Side, b: Side, matches: readonly Match[]): Promise<string> {
  const all = matches.map(({ comparison }) => comparison);
  const drawn = matches.length === 0 ? pairedDrawings(a, b) : [];
  const drawings: SidesAnswer['drawings'][number][] = [];
  for (const { before, after } of drawn.slice(0, mostShown))
    drawings.push({ prompt: after.prompt, sides: [await drawing(a, before), await drawing(b, after)] });
  const comparisons: SidesAnswer['comparisons'][number][] = [];
  // What differs stands at the head of the page.
  for (const match of matches)
    comparisons.push(comparisonAnswer({ ...match, differences: [] }, ['A', 'B'], await flipsOf(a, b, match), all));
  return reportDocument(
    `${a.name} and ${b.name}`,
    sidesView({
      names: [a.name, b.name],
      comparisons,
      differences: matches.map(({ differences }) => differences),
      drawings,
      drawingCount: drawn.length,
      command: `npx reasongen compare ${shellWord(a.name)} ${shellWord(b.name)}`,
    }),
  );
}

/** The largest changes first. */
async function flipsOf(a: Side, b: Side, { comparison: { before, after }, flips }: Match): Promise<ShownPairs> {
  const pairs: PairAnswer[] = [];
  for (const flip of flips.slice(0, mostShown))
    pairs.push({
      prompt: flip.after.prompt,
      task: flip.after.task,
      isFlipped: flip.before.pass !== flip.after.pass,
      ...(before !== undefined && { before: heldPicture(await shownVerdict(a, before, flip.before)) }),
      after: heldPicture(await shownVerdict(b, after, flip.after)),
    });
  return { pairs, pairCount: flips.length };
}

/** Drawings of the same place and prompt in both folders. */
export function pairedDrawings(a: Side, b: Side): { readonly before: DrawnLine; readonly after: DrawnLine }[] {
  return b.drawings.flatMap((after) => {
    const before = a.drawings.find(({ index, prompt }) => index === after.index && prompt === after.prompt);
    return before === undefined ? [] : [{ before, after }];
  });
}

async function drawing({ directory }: Side, { file, rationale }: DrawnLine): Promise<DrawingAnswer> {
  const picture = pictureData(await pictureWithin(directory, file));
  return { rationale, ...(picture !== undefined && { picture }) };
}
