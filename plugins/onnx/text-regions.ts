/** Where text stands, from the map of a DB detector (differentiable binarization): a rectangle, turned as the line is, around each island. */

/** Values of PP-OCR: what is text, how sure a region must be, how far it is widened, and the least side in pixels. */
const limits = { pixel: 0.3, region: 0.6, widening: 1.5, side: 3 };

type Point = readonly [x: number, y: number];

/** A rectangle by its middle, its two directions (unit vectors, the first along the line) and its sides. */
export interface TextRegion {
  readonly center: Point;
  readonly along: Point;
  readonly width: number;
  readonly height: number;
}

/** map: [height, width], 0 to 1. Regions in pixels of the map, already widened to hold the whole letters. */
export function textRegions(map: Float32Array, width: number, height: number): TextRegion[] {
  return islands(map, width, height).flatMap((points) => {
    const tight = smallestRectangle(convexHull(points));
    if (Math.min(tight.width, tight.height) < limits.side) return [];
    if (meanInside(map, width, height, tight) < limits.region) return [];
    const margin = (tight.width * tight.height * limits.widening) / (2 * (tight.width + tight.height));
    return [{ ...tight, width: tight.width + 2 * margin, height: tight.height + 2 * margin }];
  });
}

/** Corners, clockwise from the one where the line begins. */
export function cornersOf({ center: [x, y], along: [ax, ay], width, height }: TextRegion): Point[] {
  const corner = (across: number, down: number): Point => [
    x + (ax * across * width - ay * down * height) / 2,
    y + (ay * across * width + ax * down * height) / 2,
  ];
  return [corner(-1, -1), corner(1, -1), corner(1, 1), corner(-1, 1)];
}

/** Pixels of text that touch, corners included. */
function islands(map: Float32Array, width: number, height: number): Point[][] {
  const seen = new Uint8Array(width * height);
  const found: Point[][] = [];
  for (let begin = 0; begin < map.length; begin++) {
    if (seen[begin] === 1 || !((map[begin] ?? 0) > limits.pixel)) continue;
    const island: Point[] = [];
    const waiting = [begin];
    seen[begin] = 1;
    for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
      const [x, y] = [at % width, Math.floor(at / width)];
      island.push([x, y]);
      for (let near = Math.max(0, y - 1); near <= Math.min(height - 1, y + 1); near++)
        for (let beside = Math.max(0, x - 1); beside <= Math.min(width - 1, x + 1); beside++) {
          const next = near * width + beside;
          if (seen[next] === 1 || !((map[next] ?? 0) > limits.pixel)) continue;
          seen[next] = 1;
          waiting.push(next);
        }
    }
    found.push(island);
  }
  return found;
}

/** Andrew's monotone chain; the pixels' whole squares count. */
function convexHull(pixels: readonly Point[]): Point[] {
  const rows = new Map<number, { left: number; right: number }>();
  for (const [x, y] of pixels) {
    const row = rows.get(y) ?? { left: x, right: x };
    rows.set(y, { left: Math.min(row.left, x), right: Math.max(row.right, x) });
  }
  // What lies between the ends of a row is on no hull.
  const points = [...rows]
    .flatMap(([y, { left, right }]): Point[] => [
      [left, y],
      [right, y],
    ])
    .flatMap(([x, y]): Point[] => [
      [x, y],
      [x + 1, y],
      [x, y + 1],
      [x + 1, y + 1],
    ])
    .sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const half = (ordered: readonly Point[]): Point[] => {
    const chain: Point[] = [];
    for (const point of ordered) {
      while (chain.length > 1 && turn(chain.at(-2) as Point, chain.at(-1) as Point, point) <= 0) chain.pop();
      chain.push(point);
    }
    return chain.slice(0, -1);
  };
  return [...half(points), ...half(points.toReversed())];
}

function turn([ax, ay]: Point, [bx, by]: Point, [cx, cy]: Point): number {
  return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
}

/** One side of the smallest rectangle lies on an edge of the hull. Its line runs to the right, as far as it is not upright. */
function smallestRectangle(hull: readonly Point[]): TextRegion {
  let best: TextRegion | undefined;
  for (const [index, from] of hull.entries()) {
    const to = hull[(index + 1) % hull.length] as Point;
    const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
    if (length === 0) continue;
    const rectangle = around(hull, levelled([(to[0] - from[0]) / length, (to[1] - from[1]) / length]));
    if (best === undefined || rectangle.width * rectangle.height < best.width * best.height) best = rectangle;
  }
  if (best === undefined) throw new RangeError('a hull of no points has no rectangle');
  return best;
}

/** The direction, turned by right angles, that is nearest to the right. */
function levelled([x, y]: Point): Point {
  if (Math.abs(x) >= Math.abs(y)) return x >= 0 ? [x, y] : [-x, -y];
  return y >= 0 ? [y, -x] : [-y, x];
}

function around(points: readonly Point[], along: Point): TextRegion {
  const [ax, ay] = along;
  let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const [x, y] of points) {
    const [across, down] = [x * ax + y * ay, y * ax - x * ay];
    [left, right] = [Math.min(left, across), Math.max(right, across)];
    [top, bottom] = [Math.min(top, down), Math.max(bottom, down)];
  }
  const [across, down] = [(left + right) / 2, (top + bottom) / 2];
  return {
    center: [across * ax - down * ay, across * ay + down * ax],
    along,
    width: right - left,
    height: bottom - top,
  };
}

/** Mean of the map over the pixels whose middle lies in the rectangle. */
function meanInside(map: Float32Array, width: number, height: number, region: TextRegion): number {
  const corners = cornersOf(region);
  const [xs, ys] = [corners.map(([x]) => x), corners.map(([, y]) => y)];
  const { center, along } = region;
  let [sum, count] = [0, 0];
  for (let y = Math.max(0, Math.floor(Math.min(...ys))); y < Math.min(height, Math.max(...ys)); y++)
    for (let x = Math.max(0, Math.floor(Math.min(...xs))); x < Math.min(width, Math.max(...xs)); x++) {
      const [dx, dy] = [x + 0.5 - center[0], y + 0.5 - center[1]];
      const isInside =
        Math.abs(dx * along[0] + dy * along[1]) <= region.width / 2 &&
        Math.abs(dy * along[0] - dx * along[1]) <= region.height / 2;
      if (!isInside) continue;
      sum += map[y * width + x] ?? 0;
      count += 1;
    }
  return count === 0 ? 0 : sum / count;
}
