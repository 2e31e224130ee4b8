/** What a detector's numbers say: every (query, class) pair above a floor, as GenEval's own detector gives several classes to one query. */
import type { Box, Detection, Mask } from '../../core/plugin.ts';
import type { OnnxTensor } from './worker.mjs';

/** How classes are scored: each by itself, or all together with one more that means nothing is there. */
export type ClassScores = 'sigmoid' | 'softmax';

export interface DetectionLimits {
  /** Pairs of a lower score are left out. */
  readonly floor: number;
  /** At most so many, the surest. */
  readonly most: number;
}

interface Pair {
  readonly query: number;
  readonly label: string;
  readonly score: number;
}

interface Size {
  readonly width: number;
  readonly height: number;
}

/**
 * logits [1, queries, classes], boxes [1, queries, 4] (center x, center y, width, height in 0..1) to boxes in pixels of a picture, not cut
 * off at its edges. `labels` holds undefined for ids that stand for nothing.
 */
export function detectionsOf(
  logits: OnnxTensor,
  boxes: OnnxTensor,
  labels: readonly (string | undefined)[],
  scores: ClassScores,
  { width, height }: Size,
  limits: DetectionLimits,
): Detection[] {
  return pairsOf(logits, labels, scores, limits).map(({ query, label, score }) => {
    const [x = 0, y = 0, w = 0, h = 0] = Array.from(boxes.data.subarray(query * 4, query * 4 + 4), Number);
    const box: Box = [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height];
    return { label, score, box };
  });
}

/**
 * class logits [1, queries, classes + 1], mask logits [1, queries, h, w] to masks of the picture's size (bilinear, as PyTorch's
 * `interpolate`, without antialias) where the logit is above 0. Score: that of the class times the mean sigmoid inside the mask. Masks may
 * overlap. Box: tight around the mask, right and bottom exclusive.
 */
export function instancesOf(
  logits: OnnxTensor,
  masks: OnnxTensor,
  labels: readonly (string | undefined)[],
  size: Size,
  { floor, most }: DetectionLimits,
): Detection[] {
  const [, , h = 0, w = 0] = masks.dims;
  const seen = new Map<number, Seen | undefined>();
  // A mask only lowers a score: pairs below the floor by their class need none.
  const found = pairsOf(logits, labels, 'softmax', { floor, most: Infinity }).flatMap(
    ({ query, label, score: sure }) => {
      if (!seen.has(query)) {
        const plane = masks.data.subarray(query * h * w, (query + 1) * h * w) as Float32Array;
        seen.set(query, maskOf(plane, { width: w, height: h }, size));
      }
      const instance = seen.get(query);
      const score = sure * (instance?.certainty ?? 0);
      return instance === undefined || score <= floor ? [] : [{ label, score, box: instance.box, mask: instance.mask }];
    },
  );
  return bestFirst(found).slice(0, most);
}

/** Best first; equal ones in the order of queries and classes. */
function pairsOf(
  logits: OnnxTensor,
  labels: readonly (string | undefined)[],
  scores: ClassScores,
  { floor, most }: DetectionLimits,
): Pair[] {
  const [, queries = 0, columns = 0] = logits.dims;
  const pairs: Pair[] = [];
  for (let query = 0; query < queries; query++) {
    const row = logits.data.subarray(query * columns, (query + 1) * columns) as Float32Array;
    const probabilities = scores === 'sigmoid' ? Array.from(row, sigmoid) : softmax(row);
    for (const [index, label] of labels.entries()) {
      const score = probabilities[index] ?? 0;
      if (label !== undefined && score > floor) pairs.push({ query, label, score });
    }
  }
  return bestFirst(pairs).slice(0, most);
}

function bestFirst<Item extends { readonly score: number }>(items: Item[]): Item[] {
  return items.sort((a, b) => b.score - a.score);
}

function sigmoid(value: number): number {
  return 1 / (1 + Math.exp(-value));
}

function softmax(row: Float32Array): number[] {
  const largest = row.reduce((most, value) => Math.max(most, value), -Infinity);
  const powers = Array.from(row, (value) => Math.exp(value - largest));
  const total = powers.reduce((sum, value) => sum + value, 0);
  return powers.map((value) => value / total);
}

interface Seen {
  readonly mask: Mask;
  readonly box: Box;
  /** Mean sigmoid inside the mask. */
  readonly certainty: number;
}

/** undefined for an empty one. */
function maskOf(plane: Float32Array, from: Size, { width, height }: Size): Seen | undefined {
  const bits = new Uint8Array(width * height);
  // Rows first, once each: every row of the picture lies between two of them.
  const wide = widened(plane, from, width);
  const rows = placesOf(from.height, height);
  let [left, top, right, bottom] = [width, height, 0, 0];
  let [count, sum] = [0, 0];
  for (let y = 0; y < height; y++) {
    const [above, below, share] = [rows.first[y]! * width, rows.second[y]! * width, rows.share[y]!];
    for (let x = 0; x < width; x++) {
      const logit = wide[above + x]! + (wide[below + x]! - wide[above + x]!) * share;
      if (!(logit > 0)) continue;
      bits[y * width + x] = 1;
      count += 1;
      sum += sigmoid(logit);
      if (x < left) left = x;
      if (x >= right) right = x + 1;
      if (y < top) top = y;
      bottom = y + 1;
    }
  }
  if (count === 0) return undefined;
  return { mask: { width, height, bits }, box: [left, top, right, bottom], certainty: sum / count };
}

/** [from.height, width]: between the columns of each row. */
function widened(plane: Float32Array, from: Size, width: number): Float64Array {
  const { first, second, share } = placesOf(from.width, width);
  const wide = new Float64Array(from.height * width);
  for (let row = 0; row < from.height; row++) {
    const begin = row * from.width;
    for (let x = 0; x < width; x++) {
      const value = plane[begin + first[x]!]!;
      wide[row * width + x] = value + (plane[begin + second[x]!]! - value) * share[x]!;
    }
  }
  return wide;
}

/** Between which two each of `to` lies, and the share of the second. Half-pixel centers, edges repeated. */
function placesOf(
  from: number,
  to: number,
): { readonly first: Int32Array; readonly second: Int32Array; readonly share: Float64Array } {
  const at = Float64Array.from({ length: to }, (_, index) => Math.max(0, ((index + 0.5) * from) / to - 0.5));
  const first = Int32Array.from(at, (place) => Math.min(from - 1, Math.trunc(place)));
  return {
    first,
    second: first.map((place) => Math.min(from - 1, place + 1)),
    share: at.map((place, index) => place - first[index]!),
  };
}
