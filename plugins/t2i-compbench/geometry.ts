/** Where boxes are to each other, as T2I-CompBench counts it. Pictures are 480 pixels along their longer side. Pure. */
export type CompBox = readonly [x1: number, y1: number, x2: number, y2: number];

/** Something a detector found, in the frame of 480 pixels. */
export interface CompObject {
  readonly label: string;
  readonly score: number;
  readonly box: CompBox;
  /** Mean depth within the box, 0 to 1, larger is nearer; absent where no judge was asked. */
  readonly depth?: number;
}

export const frameSide = 480;
/** Neighbors are no further apart, in pixels of the frame. */
const nearness = 150;

/** Phrases and what they ask; the longest that fits is meant. `on top of` is known and has no rule, as in the published scorer. */
export const flatPhrases: Readonly<Record<string, 'near' | 'right' | 'left' | 'top' | 'bottom' | 'none'>> = {
  'on the top of': 'top',
  'on the bottom of': 'bottom',
  'on the right of': 'right',
  'on the left of': 'left',
  'on side of': 'near',
  'next to': 'near',
  near: 'near',
  'on top of': 'none',
};

export const deepPhrases: Readonly<Record<string, 'front' | 'behind'>> = {
  'in front of': 'front',
  'hidden by': 'behind',
  behind: 'behind',
};

export function areaShare(
  a: CompBox,
  b: CompBox,
): { readonly iou: number; readonly ofA: number; readonly ofB: number } {
  const width = Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0]));
  const height = Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  const both = width * height;
  const [first, second] = [areaOf(a), areaOf(b)];
  return {
    iou: both / Math.max(Number.EPSILON, first + second - both),
    ofA: both / Math.max(Number.EPSILON, first),
    ofB: both / Math.max(Number.EPSILON, second),
  };
}

function areaOf([x1, y1, x2, y2]: CompBox): number {
  return Math.max(0, x2 - x1) * Math.max(0, y2 - y1);
}

/** How well the first box stands where the phrase says, seen from the second: 0 to 1. */
export function flatPosition(wanted: (typeof flatPhrases)[string], first: CompBox, second: CompBox): number {
  const dx = (second[0] + second[2] - first[0] - first[2]) / 2;
  const dy = (second[1] + second[3] - first[1] - first[3]) / 2;
  const [across, down] = [Math.abs(dx), Math.abs(dy)];
  if (wanted === 'near') return across < nearness || down < nearness ? 1 : nearness / Math.max(across, down);
  const holds =
    (wanted === 'right' && dx < 0 && across > down) ||
    (wanted === 'left' && dx > 0 && across > down) ||
    (wanted === 'bottom' && dy < 0 && down > across) ||
    (wanted === 'top' && dy > 0 && down > across);
  if (!holds) return 0;
  const { iou } = areaShare(first, second);
  return iou < 0.1 ? 1 : 0.1 / iou;
}

/** Nearer and further, for boxes that overlap: 0 to 1. */
export function deepPosition(wanted: (typeof deepPhrases)[string], first: CompObject, second: CompObject): number {
  const difference = (first.depth ?? 0) - (second.depth ?? 0);
  if (wanted === 'front' ? difference <= 0 : difference >= 0) return 0;
  const { iou } = areaShare(first.box, second.box);
  return iou > 0.5 ? 1 : iou / 0.5;
}

/** Two of a kind that are one: they overlap nearly wholly, or one lies within the other. */
export function merged(found: readonly CompObject[]): CompObject[] {
  const kept: CompObject[] = [];
  for (const each of found) {
    const isAgain = kept.some((other) => {
      if (other.label !== each.label) return false;
      const { iou, ofA, ofB } = areaShare(other.box, each.box);
      return Math.max(iou, ofA, ofB) > 0.9;
    });
    if (!isAgain) kept.push(each);
  }
  return kept;
}
